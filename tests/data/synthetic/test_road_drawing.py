"""Pictures of roads: lines lie where a pinhole camera puts them, and every setting is seen."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from kinesics.data.synthetic.road_camera import Camera
from kinesics.data.synthetic.road_car import State, place
from kinesics.data.synthetic.road_drawing import render
from kinesics.data.synthetic.road_scenes import LIGHTS, SCENES, WEATHERS
from kinesics.data.synthetic.road_track import Road
from kinesics.errors import UserError


def pinhole(state: State, points: np.ndarray) -> np.ndarray:
    """(N, 2) pixels of (N, 3) points by the matrix K [R | t], written out here from the camera's data sheet."""
    camera = Camera()
    focal = 160 / math.tan(math.radians(40))
    intrinsic = np.array([[focal, 0, 160], [0, focal, 64], [0, 0, 1]])
    cos, sin = math.cos(state.heading), math.sin(state.heading)
    rotation = np.array([[sin, -cos, 0], [0, 0, -1], [cos, sin, 0]])  # right, down, ahead
    eye = np.array([state.x + camera.forward * cos, state.y + camera.forward * sin, camera.eye])
    seen = (intrinsic @ rotation @ (points - eye).T).T
    return seen[:, :2] / seen[:, 2:]


@pytest.mark.parametrize(
    ("road", "offset", "turn"),
    [
        (Road.straight(200.0), 0.0, 0.0),
        (Road.straight(200.0), 0.9, 0.05),
        (Road.circle(40.0), -0.5, -0.04),
        (Road.circle(30.0, left=False), 0.3, 0.0),
    ],
)
def test_lines_lie_where_a_pinhole_camera_puts_them(road: Road, offset: float, turn: float) -> None:
    state = place(road, 20.0, offset, turn)
    picture = render(road, state, "countryside").astype(float).mean(axis=2)
    checked = 0
    for side in (1, -1):
        line = []
        for s in np.arange(22.0, 50.0, 0.05):
            x, y, heading, _ = road.pose(s)
            line.append((x - side * 2.95 * math.sin(heading), y + side * 2.95 * math.cos(heading), 0.0))
        column, row = pinhole(state, np.array(line)).T
        for k in range(86, 150, 4):  # within 12 m, where a line is wider than a pixel
            middle = np.interp(-(k + 0.5), -row, column)  # rows rise from the car to the horizon
            if not row[-1] < k + 0.5 < row[0] or not 8 < middle < 312:
                continue
            window = np.arange(max(int(middle) - 6, 0), min(int(middle) + 7, 320))
            # the road and its verge are both darker than the line
            light = np.clip(picture[k, window] - 150, 0, None)
            assert light.sum() > 0, (side, k)
            assert (light * (window + 0.5)).sum() / light.sum() == pytest.approx(middle, abs=0.8)
            checked += 1
    assert checked > 8


def test_the_cameras_own_projection_is_the_pinholes() -> None:
    state = State(3.0, -2.0, 0.6)
    points = np.array([(12.0, 6.0, 0.0), (20.0, 3.0, 2.5), (9.0, 8.0, 1.0)])
    found = [Camera().project(state, *point)[:2] for point in points]
    assert np.array(found) == pytest.approx(pinhole(state, points))


@pytest.mark.parametrize(
    ("scene", "weather", "light"),
    [("city", "clear", "dusk"), ("coast", "rain", "noon"), ("forest", "snow", "night"), ("corridor", "clear", "noon")],
)
def test_a_mirrored_world_has_the_mirrored_picture(scene: str, weather: str, light: str) -> None:
    road = Road.random(6)
    other = road.mirrored()
    picture = render(road, place(road, 25.0, 0.4, 0.1), scene, weather, light, frame=3)
    mirrored = render(other, place(other, 25.0, -0.4, -0.1), scene, weather, light, frame=3)
    apart = np.abs(picture.astype(int) - mirrored[:, ::-1].astype(int))
    assert apart.mean() < 0.5 and (apart > 12).mean() < 0.01
    assert np.abs(picture.astype(int) - mirrored.astype(int)).mean() > 5


def test_the_same_arguments_give_the_same_picture() -> None:
    road, again = Road.random(8), Road.random(8)
    first = render(road, place(road, 5.0), "forest", "snow", "dusk", frame=2)
    render(road, place(road, 60.0), "forest", "snow", "dusk", frame=7)
    assert first.shape == (160, 320, 3) and first.dtype == np.uint8
    assert np.array_equal(first, render(road, place(road, 5.0), "forest", "snow", "dusk", frame=2))
    assert np.array_equal(first, render(again, place(again, 5.0), "forest", "snow", "dusk", frame=2))
    assert not np.array_equal(first, render(road, place(road, 5.0), "forest", "snow", "dusk", frame=3))


def test_every_weather_and_light_is_seen() -> None:
    """At one place, any two settings differ by far more than two frames of one setting."""
    road = Road.random(1)
    camera = Camera(160, 80)
    for scene in ("countryside", "desert"):
        shown = {
            (weather, light): render(road, place(road, 30.0), scene, weather, light, camera).astype(float)
            for weather, light in itertools.product(WEATHERS, LIGHTS)
        }
        for (one, a), (two, b) in itertools.combinations(shown.items(), 2):
            assert np.abs(a - b).mean() > 4.0, (scene, one, two)
        night = [picture.mean() for (_, light), picture in shown.items() if light == "night"]
        day = [picture.mean() for (_, light), picture in shown.items() if light == "noon"]
        assert max(night) < 0.6 * min(day)


def test_fog_takes_the_distance_and_headlights_give_the_road() -> None:
    road = Road.straight(300.0)
    state = place(road, 50.0)
    clear, fog = (render(road, state, "forest", weather).astype(float) for weather in ("clear", "fog"))
    # the woods at the end of the road, and the road before the car
    far, near = (slice(44, 64), slice(130, 190)), (slice(130, 160), slice(40, 280))
    grain = [np.abs(np.diff(picture[far].mean(axis=2), axis=1)).mean() for picture in (clear, fog)]
    assert grain[1] < 0.5 * grain[0]
    assert fog[far].mean() > clear[far].mean() + 40 and abs(fog[near].mean() - clear[near].mean()) < 30
    night = render(road, state, "forest", light="night").astype(float).mean(axis=2)
    assert night[120:150, 130:190].mean() > 2.0 * night[50:60].mean()


def test_other_sizes_show_the_same_view() -> None:
    road = Road.random(3)
    small = render(road, place(road, 9.0), "desert", camera=Camera(160, 80)).astype(float)
    large = render(road, place(road, 9.0), "desert").astype(float).reshape(80, 2, 160, 2, 3).mean(axis=(1, 3))
    assert np.abs(small - large).mean() < 6.0


def test_scenes_are_told_apart_by_their_colours() -> None:
    """What makes silos of different scenes differ: thumbnails from one road name the scene on another."""

    def features(seed: int) -> np.ndarray:
        road = Road.random(seed)
        found = []
        for scene in SCENES:
            for s in (10.0, 90.0):
                picture = render(road, place(road, s), scene, camera=Camera(80, 40)).astype(float)
                found.append(picture.reshape(4, 10, 4, 20, 3).mean(axis=(1, 3)).ravel())
        return np.array(found).reshape(len(SCENES), 2, -1)

    known, asked = features(0).mean(axis=1), features(1)
    distance = np.linalg.norm(asked[:, :, None] - known[None, None], axis=-1)
    assert (distance.argmin(axis=-1) == np.arange(len(SCENES))[:, None]).mean() > 0.9


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"scene": "dessert"}, "did you mean desert"),
        ({"weather": "hail"}, "unknown weather 'hail'"),
        ({"light": "nigth"}, "did you mean night"),
        ({"scene": "corridor", "weather": "rain"}, "no rain in the corridor"),
    ],
)
def test_settings_that_do_not_exist(settings: dict, said: str) -> None:
    road = Road.circle(30.0)
    with pytest.raises(UserError, match=said):
        render(road, place(road, 0.0), **settings)


def test_cameras_that_do_not_exist() -> None:
    with pytest.raises(UserError, match=r"camera\.width is 4; expected 32 to 2048 pixels"):
        Camera(width=4)
