"""The closed loop: the expert stays on, nobody at the wheel does not, and what one sees is enough to steer by."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from kinesics.data.synthetic.road_camera import Camera
from kinesics.data.synthetic.road_car import MAX_ANGLE, WHEELBASE
from kinesics.data.synthetic.road_track import Road
from kinesics.errors import UserError
from kinesics.inference.steering.closed_loop import Moment, drive

SMALL = Camera(32, 16)


def straight_on(image: np.ndarray) -> float:
    return 0.0


@pytest.mark.parametrize("seed", [100, 101, 102, 103])
def test_the_expert_completes_roads_close_to_their_middle(seed: int) -> None:
    done = drive(None, Road.random(seed), "corridor")
    assert done.completed and done.laps == 1 and done.departures == 0 and done.off_road == 0
    assert done.max_lateral < 0.3 and done.mean_lateral < 0.1 and done.steering_rmse == 0
    assert done.trace["s"].diff().abs().lt(1.0).sum() >= len(done.trace) - 2


def test_who_does_not_steer_leaves_the_road() -> None:
    road = Road.random(4)
    done = drive(straight_on, road, dt=0.5, camera=SMALL)
    assert not done.completed and done.laps == 0 and done.departures >= 3
    assert 0.02 < done.off_road < 0.9 and done.max_lateral > 3.2
    assert done.steering_rmse == pytest.approx(float(np.sqrt((done.trace["expert"] ** 2).mean())))
    # put back on the middle
    after = np.flatnonzero(done.trace["lost"].to_numpy()[:-1]) + 1
    assert done.trace["offset"].iloc[after].abs().max() < 0.05


def test_a_policy_that_follows_the_yellow_lines_completes_a_lap() -> None:
    """The picture alone says where the road goes: the mean column of the floor's lines, 6 m ahead."""
    camera = Camera(160, 80)
    row = round(camera.horizon + camera.focal * camera.eye / 6.0)

    def follow(image: np.ndarray) -> float:
        band = image[row - 1 : row + 2].astype(int)
        yellow = (band[..., 0] - band[..., 2] > 70) & (band[..., 1] - band[..., 2] > 40)
        if not yellow.any():
            return 0.0
        right = (np.nonzero(yellow)[1].mean() + 0.5 - camera.width / 2) * 6.0 / camera.focal
        ahead = 6.0 + camera.forward
        return math.atan(WHEELBASE * 2 * right / (right**2 + ahead**2)) / MAX_ANGLE

    done = drive(follow, Road.random(4), "corridor", dt=0.2, camera=camera)
    assert done.completed and done.off_road == 0 and done.max_lateral < 1.0


def test_laps_are_counted_on_a_circle() -> None:
    road = Road.circle(20.0)
    hold = -math.degrees(math.atan(WHEELBASE / 20.0)) / 25.0
    done = drive(lambda image: hold, road, laps=2, dt=0.25, camera=SMALL)
    assert done.laps == 2 and done.max_lateral < 0.01 and done.steering_rmse < 1e-3
    assert len(done.trace) == pytest.approx(2 * road.length / 6.0 / 0.25, abs=2)
    assert list(done.figures())[:2] == ["laps", "asked"]


def test_an_open_road_is_driven_to_its_end() -> None:
    done = drive(None, Road.straight(60.0), start=10.0, offset=1.0)
    assert done.completed and done.trace["s"].iloc[-1] == pytest.approx(60.0, abs=1.5)
    assert done.trace["offset"].iloc[0] == pytest.approx(1.0) and abs(done.trace["offset"].iloc[-1]) < 0.05


def test_who_watches_sees_every_step() -> None:
    seen: list[Moment] = []
    done = drive(lambda image: 0.1, Road.straight(50.0), dt=0.5, camera=SMALL, watch=seen.append)
    assert len(seen) == len(done.trace) and all(moment.image.shape == (16, 32, 3) for moment in seen)
    assert [moment.expert for moment in seen] == list(done.trace["expert"])
    assert isinstance(done.trace, pd.DataFrame) and (done.trace["steering"] == 0.1).all()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"laps": 0}, "laps is 0"),
        ({"laps": 2}, "the road is open"),
        ({"dt": 0.0}, "dt is 0.0"),
        ({"scene": "moon"}, "unknown scene 'moon'"),
        ({"scene": "corridor", "weather": "snow"}, "no snow in the corridor"),
        ({"policy": lambda image: math.nan}, "the policy answered nan"),
        ({"policy": lambda image: "left"}, "the policy answered 'left'"),
    ],
)
def test_what_can_not_be_driven(settings: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        drive(**{"policy": straight_on, "road": Road.straight(50.0), "camera": SMALL, **settings})
