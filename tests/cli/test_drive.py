"""kinesics drive: the table it writes, the film, and runs that can't steer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kinesics.engine.prediction import Emotion
from kinesics.inference import predictor


def test_the_expert_on_three_roads(tmp_path: Path, kinesics: Callable[..., Any]) -> None:
    answer = kinesics("drive", "expert", "--roads", 3, "--seed", 4, "--videos", 0, "--rate", 5, "--out", tmp_path)
    assert answer.code == 0 and "3 of 3 roads completed" in answer.out, answer.err
    table = pd.read_csv(tmp_path / "drives.csv")
    assert list(table["scene"]) == ["countryside", "city", "forest"] and table["length"].nunique() == 3
    assert (table["laps"] == 1).all() and (table["max_lateral"] < 0.5).all() and (table["off_road"] == 0).all()
    trace = pd.read_csv(tmp_path / "road001.csv")
    assert trace["offset"].abs().max() == pytest.approx(table["max_lateral"][1], abs=1e-4)


def test_a_run_steers_by_the_angle_of_its_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kinesics: Callable[..., Any]
) -> None:
    seen: list[tuple[int, ...]] = []

    def load(run: str, last: bool = False, device: str = "cpu") -> Callable[[np.ndarray], list[Any]]:
        assert run == "runs/fake"

        def answer(image: np.ndarray) -> list[Any]:
            seen.append(image.shape)
            return [SimpleNamespace(angle=0.05)]

        return answer

    monkeypatch.setattr(predictor, "load", load)
    words = ("--roads", 1, "--rate", 1, "--speed", 30, "--scene", "desert", "--weather", "fog", "--light", "dusk")
    answer = kinesics("drive", "runs/fake", *words, "--out", tmp_path)
    assert answer.code == 0 and "0 of 1 roads completed" in answer.out, answer.err
    assert f"{len(seen)} pictures answered, " in answer.out
    trace = pd.read_csv(tmp_path / "road000.csv")
    assert set(seen) == {(160, 320, 3)} and len(seen) == len(trace) and (trace["steering"] == 0.05).all()
    assert len([path for path in tmp_path.iterdir() if path.stem == "road000"]) == 2  # trace and film


def test_a_run_that_does_not_steer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kinesics: Callable[..., Any]
) -> None:
    monkeypatch.setattr(predictor, "load", lambda run, **settings: lambda image: [Emotion(label="fear")])
    answer = kinesics("drive", "runs/faces", "--roads", 1, "--videos", 0, "--out", tmp_path)
    assert answer.code == 2 and "does not steer: it answers with Emotion" in answer.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("expert",), "--out"),
        (("expert", "--out", "x", "--roads", "0"), "--roads must be at least 1; got 0"),
        (("expert", "--out", "x", "--scene", "dessert"), "did you mean desert?"),
        (("expert", "--out", "x", "--scene", "corridor", "--weather", "rain"), "no rain in the corridor"),
        (("nowhere", "--out", "x"), "no trained model in nowhere"),
    ],
)
def test_mistakes(words: tuple[str, ...], said: str, kinesics: Callable[..., Any]) -> None:
    answer = kinesics("drive", *words)
    assert answer.code == 2 and said in answer.err, answer.err
