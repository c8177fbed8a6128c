"""What any loaded model does with pictures and videos, by stand-ins: a detector of squares, a model of greys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import kinesics
from kinesics.engine.prediction import Emotion, Prediction
from kinesics.errors import UserError
from kinesics.inference.reader import InputForm, Reader
from kinesics.inference.stream import Following, Smoother
from kinesics.vision.crop import DETECTED, CropRule
from kinesics.vision.faces import Face
from kinesics.vision.video import Frame


class Grey(Reader):
    """Says how bright the middle of a crop is; counts calls."""

    def __init__(self, face: CropRule | None = None, finds: bool = True) -> None:
        super().__init__(InputForm(16, 1, 0.0, face, finds), ("dark", "light"), {})
        self.calls: list[int] = []

    def answer(self, pixels: np.ndarray) -> list[Prediction]:
        """Share of white in the middle 4 x 4 pixels."""
        self.calls.append(len(pixels))
        found: list[Prediction] = []
        for crop in pixels:
            light = float(crop[6:10, 6:10].mean()) / 255
            label = "light" if light > 0.5 else "dark"
            shares = {"dark": 1 - light, "light": light}
            found.append(Emotion(label=label, distribution=shares, confidence=max(shares.values()), uncertainty=0.5))
        return found


class Squares:
    """Finds the red squares of 40 pixels whose grey middles are the faces; counts calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, image: np.ndarray) -> list[Face]:
        """Surest first: from the left."""
        self.calls += 1
        red = (image[:, :, 0] > 200) & (image[:, :, 1] < 60)
        found = []
        for column in np.flatnonzero(np.diff(np.concatenate([[0], red.any(axis=0)]).astype(int)) == 1):
            row = int(np.flatnonzero(red[:, column])[0])
            found.append(Face((float(column), float(row), 40.0, 40.0)))
        return found


def scene(*faces: tuple[int, int, int], size: tuple[int, int] = (200, 320)) -> np.ndarray:
    """Red squares at x, y whose middle is grey."""
    image = np.full((*size, 3), (20, 60, 90), dtype=np.uint8)
    for x, y, grey in faces:
        image[y : y + 40, x : x + 40] = (255, 0, 0)
        image[y + 8 : y + 32, x + 8 : x + 32] = grey
    return image


def test_faces_of_several_pictures_in_few_batches(tmp_path: Path) -> None:
    pictures: list[Any] = [scene((10, 20, 250), (200, 90, 5)), scene(), scene((100, 50, 128))]
    Image.fromarray(pictures[2]).save(tmp_path / "c.png")
    pictures[2] = tmp_path / "c.png"
    model, detector = Grey(CropRule()), Squares()
    answers = model(pictures, faces=detector)
    assert [answer.box for answer in answers] == [(10, 20, 40, 40), (200, 90, 40, 40), None, (100, 50, 40, 40)]
    assert [answer.label for answer in answers] == ["light", "dark", "", "light"]
    assert [answer.source for answer in answers] == ["", "", "", str(tmp_path / "c.png")]
    assert model.calls == [3] and answers.owners == [0, 0, 1, 2]
    assert answers[3].distribution["light"] == pytest.approx(128 / 255, abs=0.01)
    table = answers.to_frame()
    assert list(table)[:5] == ["source", "box_x", "box_y", "box_w", "box_h"] and table["label"].tolist()[2] == ""
    assert table["confidence"].isna().tolist() == [False, False, True, False]
    assert len(answers.to_dict()) == 4 and answers.to_dict()[1]["box"] == (200, 90, 40, 40)
    drawn = answers.draw()
    assert [image.size for image in drawn] == [(320, 200)] * 3
    assert (np.asarray(drawn[1]) == scene()).all() and (np.asarray(drawn[0]) != pictures[0]).any()


def test_batches_are_bounded() -> None:
    model = Grey(CropRule())
    answers = model((scene((10, 20, 250), (200, 90, 5)) for _ in range(5)), batch_size=4, faces=Squares())
    assert len(answers) == 10 and model.calls == [4, 4, 2]
    with pytest.raises(UserError, match="pictures of a generator are not kept"):
        answers.draw()


def test_when_faces_are_searched_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = Squares()
    monkeypatch.setattr("kinesics.inference.reader.make_detector", lambda name, video: detector)
    large, small = scene((10, 20, 250)), scene((10, 20, 250), size=(100, 128))
    ships, own = Grey(finds=True), Grey(finds=False)
    assert [bool(ships(image)[0].box) for image in (large, small)] == [True, False]
    assert [bool(own(image)[0].box) for image in (large, small)] == [False, False]
    assert [bool(own(image, faces="find")[0].box) for image in (large, small)] == [True, True]
    assert ships(large, faces="whole")[0].box is None
    assert ships.rule == DETECTED and Grey(CropRule(margin=0.5)).rule.margin == 0.5
    steers = Grey(finds=False)
    steers._classes = ()
    with pytest.raises(UserError, match="answers for whole pictures"):
        steers(large, faces="find")


def moving(frames: int = 40, cut: int | None = None) -> Iterator[Frame]:
    """Two faces that pass each other, one light, one dark; at `cut` another scene begins."""
    for k in range(frames):
        image = scene((4 + 6 * k, 20, 250), (270 - 6 * k, 120, 5))
        if cut is not None and k >= cut:
            image[:, :, 2] = 255 - image[:, :, 2]
            image[:, :, 1] = np.maximum(image[:, :, 1], 130) * (image[:, :, 0] < 200)
        yield Frame(image, k, k / 25)


def test_a_stream_follows_between_searches() -> None:
    model, detector = Grey(CropRule()), Squares()
    following = Following(detect_every=5, batch=16)
    seen = list(model.stream(moving(), faces=detector, following=following))
    assert [answers.frame.index for answers in seen] == list(range(40))
    assert detector.calls == 8 and max(model.calls) <= 16 + 2 and sum(model.calls) == 80
    for k, answers in enumerate(seen):
        by_track = {answer.track: answer for answer in answers}
        assert sorted(by_track) == [1, 2]
        assert answers[0].time == pytest.approx(k / 25) and answers[0].frame == k
        if k >= 10:  # the speed is known from two searches on
            assert {track: answer.label for track, answer in by_track.items()} == {1: "light", 2: "dark"}
            assert by_track[1].box[0] == pytest.approx(4 + 6 * k, abs=6)
    assert seen[3].draw()[0].size == (320, 200)


def test_a_cut_ends_tracks_and_is_searched_at_once() -> None:
    detector = Squares()
    seen = list(Grey(CropRule()).stream(moving(20, cut=12), faces=detector))
    tracks = [sorted(answer.track for answer in answers) for answers in seen]
    assert tracks == [[1, 2]] * 12 + [[3, 4]] * 8
    assert detector.calls == 5  # 0, 5, 10, 12 and 17


def test_frames_without_faces_and_whole_frames() -> None:
    frames = [Frame(scene(), k, k / 10) for k in range(3)]
    empty = list(Grey().stream(frames, faces=Squares()))
    assert [len(answers) for answers in empty] == [1, 1, 1] and all(answers[0].empty for answers in empty)
    assert [answers[0].frame for answers in empty] == [0, 1, 2]
    whole = list(Grey().stream([scene((140, 80, 250))] * 2, faces="whole"))
    assert [answers[0].time for answers in whole] == [0, 0.04]
    assert all(answers[0].label and answers[0].box is None for answers in whole)


def test_memory_does_not_grow_with_the_frames() -> None:
    """At no time are more frames alive than the pipeline may hold."""
    import weakref

    alive: set[int] = set()
    most = 0

    def frames() -> Iterator[Frame]:
        nonlocal most
        for k in range(120):
            image = scene((4 + k, 20, 250))
            alive.add(k)
            weakref.finalize(image, alive.discard, k)
            most = max(most, len(alive))
            yield Frame(image, k, k / 25)
            del image

    for _ in Grey().stream(frames(), faces=Squares(), following=Following(batch=8, ahead=4)):
        pass
    assert most < 30


def test_an_error_of_the_detector_is_the_callers() -> None:
    def broken(image: np.ndarray) -> list[Face]:
        raise UserError("no more faces")

    with pytest.raises(UserError, match="no more faces"):
        list(Grey().stream(moving(9), faces=broken))
    with pytest.raises(UserError, match="detect_every 0"):
        Following(detect_every=0)


def test_smoothing_by_hand() -> None:
    smoother = Smoother(2.0)
    assert smoother(1, 0.0, {"a": 1.0, "b": 0.0}) == {"a": 1.0, "b": 0.0}
    decay = np.exp(-0.5)
    found = smoother(1, 1.0, {"a": 0.0, "b": 1.0})
    assert found is not None and found["a"] == pytest.approx(decay / (1 + decay))
    assert smoother(2, 1.0, {"a": 0.0, "b": 1.0}) == {"a": 0.0, "b": 1.0}  # another person
    assert Smoother(0.0)(1, 0.0, {"a": 1.0}) is None and smoother(1, 2.0, None) is None
    seen = list(Grey(CropRule()).stream(moving(4), faces=Squares(), following=Following(smooth=1.0)))
    answer = seen[-1][0]
    assert answer.smooth is not None and set(answer.to_frame()) >= {"smooth_dark", "smooth_light", "p_dark"}


def test_the_shipped_model_is_the_default(shared: Path) -> None:
    pytest.importorskip("dlib")
    model = kinesics.load()
    answers = model(shared / "data" / "media_samples" / "single_face.jpg")
    assert len(answers) == 1 and answers[0].label == "happiness"
    table = answers.to_frame()
    assert {"box_x", "label", "confidence", "uncertainty", "p_neutral", "valence", "arousal"} <= set(table)
