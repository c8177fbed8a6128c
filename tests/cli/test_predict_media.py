"""kinesics predict on photographs and videos: the real command, with a stand-in for the detector."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from kinesics.vision.detectors import DETECTORS
from kinesics.vision.faces import Face

av = pytest.importorskip("av")


def picture(*places: tuple[int, int]) -> np.ndarray:
    """A dark picture with white squares of 60 pixels."""
    image = np.full((180, 240, 3), 30, dtype=np.uint8)
    for x, y in places:
        image[y : y + 60, x : x + 60] = 255
    return image


def white_squares(image: np.ndarray) -> list[Face]:
    light = image[:, :, 1] > 150
    starts = np.flatnonzero(np.diff(np.concatenate([[0], light.any(axis=0)]).astype(int)) == 1)
    return [Face((float(x), float(np.flatnonzero(light[:, x])[0]), 60.0, 60.0)) for x in starts]


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default detector sees white squares."""
    monkeypatch.setitem(DETECTORS, "dlib+haar", lambda **_: white_squares)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """30 frames, 10 a second, one square that moves and, from frame 20 on, none; with sound."""
    file = tmp_path / "clip.mp4"
    with av.open(str(file), "w") as container:
        stream, tone = container.add_stream("libx264", rate=10), container.add_stream("aac", rate=16_000)
        stream.width, stream.height, stream.pix_fmt = 240, 180, "yuv420p"
        for k in range(30):
            image = picture((20 + 2 * k, 60)) if k < 20 else picture()
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            part = av.AudioFrame.from_ndarray(np.zeros((1, 1600), np.int16), format="s16", layout="mono")
            part.sample_rate, part.pts = 16_000, 1600 * k
            container.mux(tone.encode(part))
        container.mux(stream.encode())
        container.mux(tone.encode())
    return file


def test_photos_a_video_and_a_folder(tmp_path: Path, clip: Path, kinesics: Callable[..., Any]) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.fromarray(picture((10, 10), (150, 90))).save(photos / "two.png")
    Image.fromarray(picture()).save(photos / "none.jpg")
    out, drawn = tmp_path / "results.csv", tmp_path / "drawn"
    answer = kinesics("predict", photos, clip, "--out", out, "--draw", drawn, "--smooth", 1)
    assert answer.code == 0, answer.err
    table = pd.read_csv(out)
    start = [
        "source",
        "frame",
        "time",
        "track",
        "box_x",
        "box_y",
        "box_w",
        "box_h",
        "label",
        "confidence",
        "uncertainty",
    ]
    assert list(table)[:11] == start and {"p_anger", "valence", "arousal", "smooth_anger"} <= set(table)
    two, none = table[table["source"].str.endswith("two.png")], table[table["source"].str.endswith("none.jpg")]
    assert two[["box_x", "box_y"]].to_numpy().tolist() == [[10, 10], [150, 90]] and two["frame"].isna().all()
    assert len(none) == 1 and none["label"].isna().all() and none["p_anger"].isna().all()
    video = table[table["source"] == str(clip)]
    assert sorted(set(video["frame"])) == list(range(30)) and video["track"].dropna().unique().tolist() == [1]
    seen = video[video["track"].notna()].set_index("frame")
    assert set(range(20)) <= set(seen.index) and max(seen.index) < 28  # shown a little longer, then not
    assert seen["box_x"][10:19].to_numpy() == pytest.approx([20 + 2 * k for k in range(10, 19)], abs=4)
    shares = seen[[name for name in table if name.startswith("p_")]]
    assert shares.sum(axis=1).to_numpy() == pytest.approx(1)
    smooth = seen[[name for name in table if name.startswith("smooth_")]]
    assert smooth.iloc[0].to_numpy() == pytest.approx(shares.iloc[0].to_numpy(), abs=1e-9)
    assert smooth["smooth_neutral"].std() < shares["p_neutral"].std()
    assert sorted(path.name for path in drawn.iterdir()) == ["clip.mp4", "clip_timeline.png", "none.png", "two.png"]
    with av.open(str(drawn / "clip.mp4")) as film:
        assert len(film.streams.audio) == 1 and sum(1 for _ in film.decode(video=0)) == 30
    with Image.open(drawn / "two.png") as found:
        assert found.size == (240, 180) and (np.asarray(found) != picture((10, 10), (150, 90))).any()
    assert "none in" in answer.err and "none.jpg" in answer.err


def test_parts_of_a_video_as_json_lines_and_parquet(tmp_path: Path, clip: Path, kinesics: Callable[..., Any]) -> None:
    answer = kinesics("predict", clip, "--format", "jsonl", "--start", 1, "--end", 2, "--every", 3)
    lines = [json.loads(line) for line in answer.out.splitlines()]
    assert answer.code == 0 and [line["frame"] for line in lines] == [10, 13, 16, 19]
    assert all(line["track"] == 1 and len(line["distribution"]) == 8 for line in lines)
    pytest.importorskip("pyarrow")
    answer = kinesics("predict", clip, "--fps", 2, "--out", tmp_path / "a.parquet")
    table = pd.read_parquet(tmp_path / "a.parquet")
    assert answer.code == 0 and table["frame"].tolist() == [0, 5, 10, 15, 20, 25]
    answer = kinesics("predict", clip, "--format", "parquet")
    assert answer.code == 2 and "can't be printed" in answer.err


def test_a_table_for_people(tmp_path: Path, clip: Path, kinesics: Callable[..., Any]) -> None:
    Image.fromarray(picture((10, 10))).save(tmp_path / "one.png")
    answer = kinesics("predict", tmp_path / "one.png", clip)
    assert answer.code == 0 and "people in videos" in answer.out and "10,10 60x60" in answer.out


def test_bad_files_among_good(tmp_path: Path, clip: Path, kinesics: Callable[..., Any]) -> None:
    Image.fromarray(picture((10, 10))).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("text")
    (tmp_path / "c.mp4").write_text("text")
    words = ("predict", tmp_path / "a.png", tmp_path / "b.png", tmp_path / "c.mp4", "--format", "csv")
    answer = kinesics(*words)
    assert answer.code == 1 and len(answer.out.splitlines()) == 2
    assert "b.png: is not an image" in answer.err and "c.mp4: is not a video" in answer.err
    assert kinesics(*words, "--on-bad-image", "skip").code == 0
    stopped = kinesics(*words, "--on-bad-image", "error", "--out", tmp_path / "out.csv")
    assert stopped.code == 2 and not (tmp_path / "out.csv").exists()
    answer = kinesics("predict", tmp_path / "b.png", tmp_path / "c.mp4")
    assert answer.code == 2 and "none of the 2 files could be read" in answer.err


@pytest.mark.parametrize(
    "flags",
    [
        ("--every", 0), ("--detect-every", 0), ("--fps", "nan"), ("--fps", "inf"), ("--fps", 0), ("--start", "nan"),
        ("--start", -1), ("--end", "nan"), ("--end", 0), ("--smooth", "nan"), ("--faces", "nobody"),
    ],
)  # fmt: skip
def test_flags_out_of_range(flags: tuple[Any, ...], clip: Path, kinesics: Callable[..., Any]) -> None:
    """They are named, whatever the files are, and no file is called unreadable for them."""
    answer = kinesics("predict", clip, *flags)
    assert answer.code == 2 and str(flags[1]) in answer.err, answer.err
    assert "read" not in answer.err and "Traceback" not in answer.err


def test_places_that_cannot_be_written(tmp_path: Path, clip: Path, kinesics: Callable[..., Any]) -> None:
    (tmp_path / "file").write_text("mine")
    for flags in (("--draw", tmp_path / "file"), ("--out", tmp_path), ("--out", tmp_path / "file" / "a.csv")):
        answer = kinesics("predict", clip, *flags)
        assert answer.code == 2 and "can't" in answer.err and "read" not in answer.err, answer.err
    assert (tmp_path / "file").read_text() == "mine"


def test_a_video_file_as_camera(tmp_path: Path, clip: Path, kinesics: Callable[..., Any]) -> None:
    pytest.importorskip("cv2")
    answer = kinesics("predict", "--webcam", clip, "--end", 1.5, "--draw", tmp_path / "out")
    rows = answer.out.splitlines()
    assert answer.code == 0 and rows[0].startswith("source,frame,time,track") and len(rows) == 16, answer.err
    assert rows[1].startswith(f"webcam:{clip},0,0.0,1,")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["webcam-clip.mp4", "webcam-clip_timeline.png"]
    answer = kinesics("predict", "--webcam", 0, clip)
    assert answer.code == 2 and "--webcam takes no files" in answer.err


def test_withheld_labels(tmp_path: Path, clip: Path, kinesics: Callable[..., Any]) -> None:
    every = kinesics("predict", clip, "--format", "csv", "--abstain-above", 0)
    labels = {line.split(",")[8] for line in every.out.splitlines()[1:]}
    assert labels == {"abstain", ""}
    for words, said in (
        (("--abstain", 2), "--abstain must be in"),
        (("--abstain-above", 2), "--abstain-above must be in"),
        (("--abstain", 0.3, "--abstain-above", 0.5), "say the same twice"),
        (("--faces", "hog"), "no face detector is called 'hog'"),
        (("--detect-every", 0), "--detect-every must be"),
        (("--every", 0), "--every must be"),
    ):
        answer = kinesics("predict", clip, *words)
        assert answer.code == 2 and said in answer.err, answer.err


def test_the_boxes_of_a_manifest_are_cut_out_by_the_models_rule(tmp_path: Path, kinesics: Callable[..., Any]) -> None:
    Image.fromarray(picture((150, 90))).save(tmp_path / "a.png")
    manifest = tmp_path / "m.csv"
    manifest.write_text("path,label,box_x,box_y,box_w,box_h\na.png,fear,150,90,60,60\n")
    answer = kinesics("predict", manifest, "--format", "jsonl")
    line = json.loads(answer.out)
    assert answer.code == 0 and line["box"] == [150, 90, 60, 60]
    found = json.loads(kinesics("predict", tmp_path / "a.png", "--format", "jsonl").out)  # the detector finds that box
    assert found["box"] == line["box"] and line["distribution"] == pytest.approx(found["distribution"], abs=1e-6)


def test_ctrl_c_keeps_what_is_done(tmp_path: Path) -> None:
    """The real process on a long video, interrupted when the film has begun to grow."""
    pytest.importorskip("dlib")
    file, out, drawn = tmp_path / "long.mp4", tmp_path / "out.csv", tmp_path / "drawn"
    noise = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.options = {"preset": "ultrafast"}
        for k in range(3000):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.roll(noise, k, 1), format="rgb24")))
        container.mux(stream.encode())
    command = [sys.executable, "-m", "kinesics", "predict", str(file), "--out", str(out), "--draw", str(drawn)]
    process = subprocess.Popen([*command, "--faces", "dlib"], stderr=subprocess.PIPE, text=True)
    partial = drawn / ".long.part.mp4"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (partial.exists() and partial.stat().st_size > 5_000):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in err, err
    rows = len(pd.read_csv(out))
    assert 0 < rows < 3000
    with av.open(str(drawn / "long.mp4")) as film:
        assert 0 < sum(1 for _ in film.decode(video=0)) <= rows
    assert (drawn / "long_timeline.png").exists() and not partial.exists()
