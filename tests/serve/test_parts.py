"""The parts of the service by themselves: batching, lanes, kinds, limits, reading of pictures and videos."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from kinesics.engine.prediction import Emotion, Prediction
from kinesics.errors import UserError
from kinesics.serve.batching import Batcher
from kinesics.serve.documents import Tracks, face_document
from kinesics.serve.film import FilmReader, Stretch
from kinesics.serve.kinds import is_film, suffix_of
from kinesics.serve.lane import Lane
from kinesics.serve.limits import Limits
from kinesics.serve.photo import PhotoReader, decode
from kinesics.serve.refusal import Refusal


def numbered(pixels: np.ndarray) -> list[Prediction]:
    """Answers that carry the value of their crop."""
    return [Emotion(confidence=float(crop.flat[0])) for crop in pixels]


def crops(*values: int) -> np.ndarray:
    return np.array(values, np.uint8).reshape(-1, 1, 1, 1)


def test_requests_share_a_batch_and_each_gets_its_own() -> None:
    sizes: list[int] = []
    batcher = Batcher(numbered, wait=0.2, largest=1000, seen=sizes.append)
    asked = [[k, k + 1, k + 2][: 1 + k % 3] for k in range(20)]
    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(lambda values: [one.confidence for one in batcher(crops(*values))], asked))  # type: ignore[attr-defined]
    batcher.close()
    assert found == asked
    assert sum(sizes) == sum(map(len, asked)) and len(sizes) <= 3


def test_a_full_batch_is_not_waited_for() -> None:
    batcher = Batcher(numbered, wait=30, largest=4)
    began = time.monotonic()
    first, second = batcher.submit(crops(1, 2)), batcher.submit(crops(3, 4))
    assert [one.confidence for one in first.result(5) + second.result(5)] == [1, 2, 3, 4]  # type: ignore[attr-defined]
    assert time.monotonic() - began < 5
    batcher.close()


def test_the_fault_of_one_is_not_the_others() -> None:
    def picky(pixels: np.ndarray) -> list[Prediction]:
        if (pixels == 13).any():
            raise ValueError("13")
        return numbered(pixels)

    batcher = Batcher(picky, wait=0.2)
    futures = [batcher.submit(crops(value)) for value in (1, 13, 2)]
    assert futures[0].result(5)[0].confidence == 1 and futures[2].result(5)[0].confidence == 2  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="13"):
        futures[1].result(5)
    assert batcher(crops(7))[0].confidence == 7  # type: ignore[attr-defined]
    batcher.close()
    with pytest.raises(RuntimeError):
        batcher.submit(crops(1))


def test_what_waits_is_answered_before_the_end() -> None:
    batcher = Batcher(numbered, wait=0.0, largest=1)
    futures = [batcher.submit(crops(k)) for k in range(30)]
    batcher.close()
    assert [future.result(0)[0].confidence for future in futures] == list(range(30))  # type: ignore[attr-defined]


def test_a_lane_is_bounded_and_abandoned_work_holds_its_place() -> None:
    async def story() -> None:
        lane, free = Lane("test", workers=1, waiting=1), threading.Event()
        first, second = lane.take(), lane.take()
        with pytest.raises(Refusal) as refusal:
            lane.take()
        assert refusal.value.status == 429 and 1 <= int(refusal.value.headers["Retry-After"]) <= 60
        assert (lane.inside, lane.waiting) == (2, 1)
        work = first.start(lambda: free.wait(10))
        first.done()  # nobody waits any more, but the thread is at it
        second.done()
        assert lane.inside == 1
        free.set()
        await asyncio.wrap_future(work)
        for _ in range(100):
            if lane.inside == 0:
                break
            await asyncio.sleep(0.01)
        assert lane.inside == 0
        lane.close()

    asyncio.run(story())


def test_a_lane_takes_nobody_who_would_wait_too_long() -> None:
    async def story() -> None:
        lane = Lane("test", workers=2, waiting=100, patience=3.0)
        lane.seconds = 1.0  # learned: two a second
        taken = [lane.take() for _ in range(7)]
        with pytest.raises(Refusal) as refusal:
            lane.take()
        assert refusal.value.retry_after == 2  # half of 7 at two a second
        for place in taken:
            place.done()
        lane.seconds = 60.0
        assert [lane.take().lane.inside, lane.take().lane.inside] == [1, 2]  # a free thread is always given
        lane.close()

    asyncio.run(story())


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000", "AVIF"])
def test_pictures_are_known_by_their_first_bytes(make: SimpleNamespace, form: str) -> None:
    from PIL import features

    names = {"JPEG2000": "jpg_2000", "AVIF": "avif", "WEBP": "webp"}
    if form in names and not features.check(names[form]):
        pytest.skip(f"this Pillow has no {form}")
    suffix = suffix_of(make.encoded(make.squares(40, 30), form)[:64])
    assert suffix.removeprefix(".")[:2] == {"TIFF": "ti", "JPEG2000": "jp", "JPEG": "jp"}.get(form, form[:2].lower())
    assert not is_film(suffix)


@pytest.mark.parametrize(
    ("form", "codec"),
    [("mp4", "mpeg4"), ("mov", "mpeg4"), ("avi", "mpeg4"), ("matroska", "mpeg4"), ("mpegts", "mpeg2video"),
     ("mpeg", "mpeg1video"), ("mpeg1video", "mpeg1video"), ("flv", "flv")],
)  # fmt: skip
def test_videos_are_known_and_read(
    make: SimpleNamespace, stand_in: ModuleType, tmp_path: Path, form: str, codec: str
) -> None:
    data = make.film(make.moving(8), form, codec, 25)
    suffix = suffix_of(data[:64])
    assert is_film(suffix)
    path = tmp_path / f"video{suffix}"
    path.write_bytes(data)
    head, *frames, tail = reader(stand_in).read(path, Stretch(), threading.Event())
    assert (head["width"], head["height"]) == (192, 144) and len(frames) == 8
    assert all(frame["faces"][0]["track"] == 1 for frame in frames) and tail["tracks"][0]["frames"] == 8


def test_limits_are_checked() -> None:
    for wrong in ({"megabytes": 0}, {"workers": 0}, {"queue": -1}, {"side": 10}, {"batch_seconds": float("nan")}):
        with pytest.raises(UserError, match="--" + next(iter(wrong)).replace("_", "-")):
            Limits(**wrong)


def test_a_large_photograph_is_searched_small_and_answered_large(
    make: SimpleNamespace, stand_in: ModuleType, tmp_path: Path
) -> None:
    path = tmp_path / "large.jpg"
    path.write_bytes(make.encoded(make.squares(1600, 800, (400, 200, 320, 250)), "JPEG", quality=95))
    picture, size = decode(path, 10**7, 400)
    assert picture.shape == (200, 400, 3) and size == (1600, 800)
    found = PhotoReader(stand_in.StandIn(), lambda fast: stand_in.bright, Limits(side=400)).search(path)
    assert found.scale == (4, 4) and np.allclose(found.boxes[0], [100, 50, 80, 80], atol=1)  # type: ignore[arg-type]
    face = face_document(Emotion(label="a", distribution={"a": 1.0}, box=found.boxes[0]), found.scale)
    assert np.allclose(face["box"], [400, 200, 320, 320], atol=4)


def test_small_pictures_and_wishes_are_taken_whole(make: SimpleNamespace, stand_in: ModuleType, tmp_path: Path) -> None:
    photos = PhotoReader(stand_in.StandIn(), lambda fast: stand_in.bright, Limits())
    path = tmp_path / "face.png"
    path.write_bytes(make.encoded(make.squares(128, 100)))
    assert photos.search(path).boxes == [None]
    path.write_bytes(make.encoded(make.squares(129, 100)))
    assert photos.search(path).boxes == []
    assert photos.search(path, "whole").boxes == [None]


def test_each_thread_has_its_own_detectors(make: SimpleNamespace, stand_in: ModuleType, tmp_path: Path) -> None:
    made: list[bool] = []

    def new(fast: bool) -> Any:
        made.append(fast)
        return lambda image: stand_in.bright(image)

    photos, path = PhotoReader(stand_in.StandIn(), new, Limits()), tmp_path / "a.png"
    path.write_bytes(make.encoded(make.squares(200, 100)))
    for _ in range(3):
        thread = threading.Thread(target=lambda: [photos.search(path), photos.search(path, "fast")])
        thread.start()
        thread.join()
    assert sorted(made) == [False] * 3 + [True] * 3


def reader(stand_in: ModuleType, **limits: Any) -> FilmReader:
    model = stand_in.StandIn()
    return FilmReader(model, model.answer, lambda fast: stand_in.bright, Limits(**limits))


@pytest.fixture(scope="module")
def clip(make: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds, 10 frames a second, a square that moves."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    path.write_bytes(make.film(make.moving(30)))
    return path


def test_a_stretch_of_a_video(stand_in: ModuleType, clip: Path) -> None:
    head, *frames, tail = reader(stand_in).read(clip, Stretch(1.0, 2.0, every=2), threading.Event())
    assert head["duration"] == pytest.approx(3.0) and head["rate"] == pytest.approx(10)
    assert [frame["time"] for frame in frames] == pytest.approx([1.0, 1.2, 1.4, 1.6, 1.8])
    for frame in frames:  # the square moves 20 pixels a second
        assert frame["faces"][0]["box"][0] == pytest.approx(20 + 20 * frame["time"], abs=4)
    assert tail["truncated"] is None and tail["tracks"][0]["start"] == pytest.approx(1.0)
    _, *slow, _ = reader(stand_in).read(clip, Stretch(fps=2), threading.Event())
    assert [frame["time"] for frame in slow] == pytest.approx([0, 0.5, 1, 1.5, 2, 2.5])


def test_bounds_of_a_video(stand_in: ModuleType, clip: Path) -> None:
    _, *frames, tail = reader(stand_in, frames=7).read(clip, Stretch(), threading.Event())
    assert len(frames) == 7 and tail["truncated"].startswith("frames")
    with pytest.raises(Refusal, match=r"3\.0 s of the video") as refusal:
        list(reader(stand_in, film_seconds=2).read(clip, Stretch(), threading.Event()))
    assert refusal.value.status == 413
    with pytest.raises(Refusal, match="in time"):
        list(reader(stand_in, work_seconds=1e-9).read(clip, Stretch(), threading.Event()))
    for stretch, status in ((Stretch(2.0, 1.0), 422), (Stretch(50.0), 422)):
        with pytest.raises(Refusal) as refusal:
            list(reader(stand_in).read(clip, stretch, threading.Event()))
        assert refusal.value.status == status and str(clip) not in refusal.value.message


def test_a_video_that_nobody_waits_for_stops(stand_in: ModuleType, clip: Path) -> None:
    stopped = threading.Event()
    parts = reader(stand_in).read(clip, Stretch(), stopped)
    next(parts)
    stopped.set()
    assert len(list(parts)) < 30


def test_large_frames_are_searched_small(make: SimpleNamespace, stand_in: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "large.mp4"
    path.write_bytes(make.film([make.squares(800, 400, (200, 100, 160, 240))] * 3))
    head, *frames, _ = reader(stand_in, film_side=200).read(path, Stretch(), threading.Event())
    assert head["width"] == 800 and np.allclose(frames[0]["faces"][0]["box"], [200, 100, 160, 160], atol=8)


def test_tracks_are_means_over_their_frames() -> None:
    tracks = Tracks()
    for time_, share in ((0.0, 0.2), (0.5, 0.6), (1.0, 0.7)):
        face = {"track": 4, "uncertainty": share, "distribution": {"a": share, "b": 1 - share}}
        tracks.add(time_, [face, {**face, "track": 9, "distribution": {"a": 0.0, "b": 1.0}}][: 1 + (time_ == 0.5)])
    first, second = tracks.documents()
    assert (first["track"], first["start"], first["end"], first["frames"], first["label"]) == (4, 0.0, 1.0, 3, "a")
    assert first["distribution"] == {"a": pytest.approx(0.5), "b": pytest.approx(0.5)}
    assert first["uncertainty"] == pytest.approx(0.5)
    assert (second["track"], second["start"], second["frames"], second["label"]) == (9, 0.5, 1, "b")


def test_what_is_a_projection() -> None:
    shares = {"happiness": 0.5, "neutral": 0.5}
    mean = Emotion(label="happiness", distribution=shares, valence=0.405, arousal=0.255)
    assert face_document(mean)["projection"] is True
    own = Emotion(label="happiness", distribution=shares, valence=0.1, arousal=0.255)
    assert face_document(own)["projection"] is False
    strange = Emotion(label="bored", distribution={"bored": 1.0}, valence=0.0, arousal=0.0)
    assert face_document(strange)["projection"] is False
    assert "valence" not in face_document(Emotion(label="bored", distribution={"bored": 1.0}))
