"""Videos of drives: frames that show what they should, files that open."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kinesics.data.synthetic.road_car import place
from kinesics.data.synthetic.road_drawing import render
from kinesics.data.synthetic.road_track import Road
from kinesics.errors import UserError
from kinesics.inference.steering.closed_loop import Moment
from kinesics.inference.steering.drive_video import EXPERT, POLICY, Overlay
from kinesics.vision.film import VideoWriter, default_suffix


def moments(n: int, steering: float = 0.4) -> list[Moment]:
    road = Road.circle(40.0)
    states = [place(road, 3.0 * k) for k in range(n)]
    return [Moment(0.1 * k, render(road, s), s, 3.0 * k, 0.0, steering, -0.2) for k, s in enumerate(states)]


def near(frame: Image.Image, colour: tuple[int, int, int]) -> np.ndarray:
    """(H, W) bool, pixels about as blue or orange as `colour`."""
    pixels, wanted = np.asarray(frame).astype(float), np.array(colour, dtype=float)
    return np.abs(pixels - wanted).max(axis=2) < 70


def test_ribbons_bend_to_the_side_that_is_steered_to() -> None:
    frame = Overlay(Road.circle(40.0), 3.2, title="a drive")(moments(1)[0])
    assert frame.size == (640, 320) and frame.mode == "RGB"
    road = slice(165, 230)  # rows above the wheels
    assert np.nonzero(near(frame, POLICY)[road, 170:470])[1].mean() + 170 > 330
    assert np.nonzero(near(frame, EXPERT)[road, 170:470])[1].mean() + 170 < 310


def test_the_inset_shows_the_way_come() -> None:
    overlay = Overlay(Road.circle(40.0), 3.2)
    frames = [overlay(moment) for moment in moments(12)]
    inset = (slice(6, 156), slice(640 - 156, 634))
    assert near(frames[-1], POLICY)[inset].sum() > near(frames[0], POLICY)[inset].sum() + 10


def test_a_gif_has_every_frame(tmp_path: Path) -> None:
    overlay = Overlay(Road.circle(40.0), 3.2)
    with VideoWriter(tmp_path / "a" / "drive.gif", rate=5) as film:
        for moment in moments(3):
            film.add(overlay(moment))
    with Image.open(tmp_path / "a" / "drive.gif") as found:
        assert found.size == (320, 160) and found.n_frames == 3 and found.info["duration"] == 200
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["drive.gif"]


def test_an_mp4_has_every_frame(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    frames = [Overlay(Road.circle(40.0), 3.2)(moment) for moment in moments(4)]
    with VideoWriter(tmp_path / "drive.mp4") as film:
        for frame in frames:
            film.add(frame)
    with av.open(str(tmp_path / "drive.mp4")) as found:
        shown = [frame.to_ndarray(format="rgb24") for frame in found.decode(video=0)]
    assert len(shown) == 4 and shown[0].shape == (320, 640, 3)
    assert np.abs(shown[2].astype(float) - np.asarray(frames[2])).mean() < 10


def test_a_drive_that_fails_leaves_no_half_file(tmp_path: Path) -> None:
    def fail() -> None:
        with VideoWriter(tmp_path / "drive.gif") as film:
            film.add(Image.new("RGB", (64, 32)))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not list(tmp_path.iterdir())


def test_without_pyav(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert default_suffix() == ".gif"
    with pytest.raises(UserError, match="needs PyAV"):
        VideoWriter(tmp_path / "drive.mp4")


def test_names_and_places_that_can_not_be(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"ends in \.mp4 or \.gif"):
        VideoWriter(tmp_path / "drive.avi")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="can't write"):
        VideoWriter(tmp_path / "file" / "drive.gif")
