"""Roads: what is promised of their curves, measured on the points themselves."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kinesics.data.synthetic.road_track import CLEARANCE, Road
from kinesics.errors import UserError

SEEDS = range(12)


def measured_curvature(road: Road) -> np.ndarray:
    """Of the circle through every three neighbours: 4 area / product of the sides."""
    p = np.column_stack([road.x, road.y])
    a, b, c = (p, np.roll(p, -1, axis=0), np.roll(p, -2, axis=0)) if road.closed else (p[:-2], p[1:-1], p[2:])
    u, v = b - a, c - b
    cross = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    sides = [np.linalg.norm(d, axis=1) for d in (b - a, c - b, c - a)]
    return 2 * cross / (sides[0] * sides[1] * sides[2])


@pytest.mark.parametrize("seed", SEEDS)
def test_bends_are_bounded_and_to_both_sides(seed: int) -> None:
    road = Road.random(seed, min_radius=20.0)
    measured = measured_curvature(road)
    assert np.abs(measured).max() < 1.002 / 20.0
    assert measured == pytest.approx(np.roll(road.curvature, -1), abs=2e-4)
    assert measured.min() < 0 < measured.max()


@pytest.mark.parametrize("closed", [True, False])
def test_points_are_equally_far_along_the_curve(closed: bool) -> None:
    road = Road.random(5, closed=closed)
    p = np.column_stack([road.x, road.y])
    step = np.linalg.norm(np.diff(np.vstack([p, p[:1]]) if closed else p, axis=0), axis=1)
    assert step == pytest.approx(road.spacing, rel=1e-4)
    assert step.sum() == pytest.approx(road.length, rel=1e-4)
    direction = np.arctan2(*np.diff(p, axis=0).T[::-1])
    middle = 0.5 * (road.heading[1:] + road.heading[:-1])
    assert np.abs((direction - middle + math.pi) % (2 * math.pi) - math.pi).max() < 1e-3


def test_a_track_closes_and_keeps_clear_of_itself() -> None:
    ways = set()
    for seed in SEEDS:
        road = Road.random(seed)
        turned = road.heading[-1] - road.heading[0] + road.curvature[-1] * road.spacing
        assert abs(turned) == pytest.approx(2 * math.pi, abs=0.02)
        ways.add(np.sign(turned))
        p = np.column_stack([road.x, road.y])[::8]
        apart = np.linalg.norm(p[:, None] - p[None], axis=2)
        gap = np.abs(np.subtract.outer(np.arange(len(p)), np.arange(len(p)))) * 8 * road.spacing
        gap = np.minimum(gap, road.length - gap)
        assert apart[gap > 2.2 * CLEARANCE].min() >= CLEARANCE
    assert ways == {-1.0, 1.0}


def test_an_open_road_has_the_length_asked_for() -> None:
    road = Road.random(3, closed=False, length=300.0)
    assert road.length == 300.0 and np.abs(road.curvature).max() <= 1 / 18.0 + 1e-9


@pytest.mark.parametrize("closed", [True, False])
def test_pose_and_locate_are_inverse(closed: bool) -> None:
    road = Road.random(7, closed=closed)
    rng = np.random.default_rng(0)
    s, offset = rng.uniform(1.0, road.length - 1.0, 200), rng.uniform(-9.0, 9.0, 200)
    pose = np.array([road.pose(value) for value in s])
    x, y = pose[:, 0] - offset * np.sin(pose[:, 2]), pose[:, 1] + offset * np.cos(pose[:, 2])
    found = np.array([road.locate(*point) for point in zip(x, y, strict=True)])
    assert found[:, 0] == pytest.approx(s, abs=5e-3) and found[:, 1] == pytest.approx(offset, abs=2e-3)
    many = road.coordinates(x.astype(np.float32), y.astype(np.float32))
    assert many[0] == pytest.approx(s, abs=0.03) and many[1] == pytest.approx(offset, abs=5e-3)
    assert many[2] ** 2 + many[3] ** 2 == pytest.approx(1, abs=1e-5)


def test_a_circle_is_known() -> None:
    road = Road.circle(30.0)
    assert road.length == pytest.approx(2 * math.pi * 30)
    assert road.locate(33.0, 0.0) == pytest.approx((0.0, -3.0), abs=1e-6)
    assert road.locate(0.0, 28.0) == pytest.approx((30 * math.pi / 2, 2.0), abs=1e-4)
    assert Road.circle(30.0, left=False).locate(0.0, -28.0) == pytest.approx((30 * math.pi / 2, -2.0), abs=1e-4)


def test_ends_of_an_open_road_go_on_straight() -> None:
    road = Road.straight(50.0)
    assert road.pose(60.0)[:2] == pytest.approx((60.0, 0.0)) and road.pose(-5.0)[:2] == pytest.approx((-5.0, 0.0))
    assert road.locate(58.0, 1.0) == pytest.approx((58.0, 1.0))


def test_a_seed_is_a_road() -> None:
    assert np.array_equal(Road.random(11).x, Road.random(11).x)
    assert not np.array_equal(Road.random(11).x[:50], Road.random(12).x[:50])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"seed": 1.5}, "seed is 1.5"),
        ({"seed": 0, "min_radius": 3.0}, "min_radius is 3.0"),
        ({"seed": 0, "closed": False, "length": 10.0}, "length is 10.0"),
    ],
)
def test_what_can_not_be_a_road(settings: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        Road.random(**settings)
