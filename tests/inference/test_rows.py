"""Tables of answers, drawings, the timeline, and withheld answers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kinesics.engine.classifier import uncertainty_deciles
from kinesics.engine.prediction import Emotion
from kinesics.errors import UserError
from kinesics.inference.abstaining import ABSTAINED, abstain, threshold_of
from kinesics.inference.draw import class_colours, draw_answers
from kinesics.inference.rows import RowWriter, columns_of
from kinesics.inference.timeline import BINS, Timeline

CLASSES = ("happiness", "sadness", "fear")


def answer(frame: int, track: int, share: float, box: tuple[float, float, float, float] = (40, 30, 60, 60)) -> Emotion:
    shares = dict(zip(CLASSES, (share, (1 - share) / 2, (1 - share) / 2), strict=True))
    return Emotion("a.mp4", frame / 10, frame, "happiness", shares, share, 0.3, 0.1, 0.2, box, track)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_what_is_written_is_what_was_answered(tmp_path: Path, kind: str) -> None:
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"a.{kind}"
    columns = columns_of(CLASSES, True)
    with RowWriter(path, kind, columns) as rows:
        for k in range(5000):  # more than a block
            rows.add([answer(k, 1, 0.5), answer(k, 2, 0.6)] if k else [Emotion("a.mp4", 0.0, 0)])
        assert not path.exists()
    assert rows.count == 9999
    if kind == "jsonl":
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert len(lines) == 9999 and lines[0] == {"source": "a.mp4", "time": 0.0, "frame": 0, "label": ""}
        assert lines[-1]["distribution"]["happiness"] == 0.6 and lines[-1]["box"] == [40, 30, 60, 60]
        return
    table = pd.read_csv(path) if kind == "csv" else pd.read_parquet(path)
    assert list(table) == columns and len(table) == 9999
    assert columns[:8] == ["source", "frame", "time", "track", "box_x", "box_y", "box_w", "box_h"]
    assert pd.isna(table.loc[0, "confidence"]) and table.loc[0, "frame"] == 0
    last = table.iloc[-1]
    assert (last["frame"], last["track"], last["p_happiness"], last["valence"]) == (4999, 2, 0.6, 0.1)


def test_an_interrupt_keeps_what_was_written_and_an_error_keeps_the_old(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("old")
    for error in (UserError("bad"), KeyboardInterrupt()):
        with pytest.raises(type(error)), RowWriter(path, "csv", columns_of(CLASSES, True)) as rows:
            rows.add([answer(0, 1, 0.5)])
            raise error
        assert len(path.read_text().splitlines()) == (1 if isinstance(error, UserError) else 2)
    assert [item.name for item in tmp_path.iterdir()] == ["a.csv"]


def test_boxes_are_drawn_and_faces_stay_visible() -> None:
    image = np.full((240, 320, 3), 128, dtype=np.uint8)
    faces = [answer(0, 1, 0.9), answer(0, 2, 0.8, (180, 120, 70, 70)), Emotion("a", label="")]
    drawn = draw_answers(image, faces)
    assert drawn.shape == image.shape and (image == 128).all()
    for face in faces[:2]:
        assert face.box is not None
        x, y, w, h = (int(part) for part in face.box)
        assert (drawn[y + 6 : y + h - 6, x + 6 : x + w - 6] == 128).all()  # nothing lies on the face
        assert (drawn[y : y + h, x + 1] != 128).any()
    assert (draw_answers(image, [Emotion("a")]) == image).all()
    colours = class_colours([f"c{k}" for k in range(8)])
    assert len(set(colours.values())) == 8


def test_the_timeline_is_the_mean_in_each_step() -> None:
    timeline = Timeline(CLASSES, step=0.2)
    for frame in range(10):
        timeline.add([answer(frame, 1, 0.1 * frame)] if frame != 4 and frame != 5 else [Emotion("a", 0.1 * frame)])
    ((track, seconds, shares),) = timeline.tracks()
    assert track == 1 and seconds == pytest.approx([0.1, 0.3, 0.5, 0.7, 0.9])
    assert shares[:, 0] == pytest.approx([0.05, 0.25, np.nan, 0.65, 0.85], abs=1e-6, nan_ok=True)
    assert shares[0].sum() == pytest.approx(1, abs=1e-6)


def test_a_long_video_is_kept_coarser() -> None:
    timeline = Timeline(CLASSES, step=0.04)
    for frame in range(0, 72_000, 100):  # two hours
        timeline.add([answer(frame, 1 + frame // 24_000, 0.5)])
    assert timeline.step * BINS >= 7190 and timeline.step == 0.04 * 256
    tracks = timeline.tracks()
    assert [number for number, _, _ in tracks] == [1, 2, 3] and len(tracks[0][1]) <= BINS
    assert np.nanmean(tracks[1][2][:, 0]) == pytest.approx(0.5)
    assert np.nanmin(tracks[1][1][np.isfinite(tracks[1][2][:, 0])]) == pytest.approx(2400, abs=timeline.step)
    figure = timeline.draw("two hours")
    assert len(figure.axes) == 3 and Timeline(CLASSES).draw().axes


def test_the_share_that_is_withheld() -> None:
    rng = np.random.default_rng(0)
    log_probability = rng.dirichlet(np.ones(3), 4000)
    deciles = uncertainty_deciles(np.log(log_probability), 1.3)
    scaled = log_probability ** (1 / 1.3)
    scaled /= scaled.sum(1, keepdims=True)
    entropy = -(scaled * np.log(scaled)).sum(1) / np.log(3)
    for share in (0.1, 0.3, 0.5):
        above = threshold_of({"temperature": 1.3, **deciles}, share)
        assert (entropy > above).mean() == pytest.approx(share, abs=0.005)
    assert threshold_of(deciles, 0.0) == 1.0 and threshold_of(deciles, 1.0) == 0.0
    held, kept = abstain(answer(0, 1, 0.5), 0.2), abstain(answer(0, 1, 0.5), 0.3)
    assert isinstance(held, Emotion) and held.label == ABSTAINED and held.distribution == answer(0, 1, 0.5).distribution
    assert kept == answer(0, 1, 0.5) and abstain(Emotion("a"), 0.0) == Emotion("a")
    with pytest.raises(UserError, match=r"--abstain must be in \[0, 1\]"):
        threshold_of(deciles, 3)
    with pytest.raises(UserError, match="--abstain 0.3 needs the spread") as caught:
        threshold_of({"temperature": 1.0}, 0.3)
    assert "--abstain-above" in str(caught.value.hint)
