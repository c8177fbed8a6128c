"""kinesics topology design on four cities."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

CSV = "name,latitude,longitude\nHanoi,21.03,105.85\nDa Nang,16.05,108.21\nHue,16.46,107.59\nCan Tho,10.03,105.78\n"


@pytest.fixture
def cities(tmp_path: Path) -> Path:
    path = tmp_path / "cities.csv"
    path.write_text(CSV, encoding="utf-8")
    return path


def test_design_prints_a_table_and_writes_all(cities: Path, tmp_path: Path, kinesics: Callable[..., Any]) -> None:
    out = tmp_path / "out"
    words = ["topology", "design", "--silos", cities, "--model-bits", "1e7", "--compute-ms", "5", "--out", out]
    answer = kinesics(*map(str, words), "--access-bps", "1e9", "--core-bps", "1e9", "--search-steps", "50")
    assert answer.code == 0, answer.err
    for name in ("star", "MST", "delta-MBST", "Christofides ring", "best ring", "complete", "least cycle"):
        assert name in answer.out
    with (out / "overlays.csv").open(encoding="utf-8", newline="") as stream:
        rows = {row["overlay"]: row for row in csv.DictReader(stream)}
    ring = rows["best ring"]
    assert float(ring["consensus_ms"]) == pytest.approx(float(ring["cycle_ms"]) * int(ring["rounds"]))
    assert float(rows["least cycle"]["cycle_ms"]) <= float(ring["cycle_ms"])
    stored = json.loads((out / "overlays.json").read_text(encoding="utf-8"))
    assert stored["silos"][0] == "Hanoi" and stored["settings"]["access_bps"] == 1e9
    matrices = [np.array(one["matrix"]) for one in stored["overlays"] if one["server"] is None]
    assert len(matrices) >= 7
    for matrix in matrices:
        np.testing.assert_allclose(matrix.sum(axis=0), 1)
        np.testing.assert_allclose(matrix.sum(axis=1), 1)
    with (out / "links.csv").open(encoding="utf-8", newline="") as stream:
        links = [row for row in csv.DictReader(stream) if row["overlay"] == "best ring"]
    assert len(links) == 4 and all(float(row["weight"]) == pytest.approx(0.5) for row in links)
    for name in ("map", "tradeoff"):
        assert min(Image.open(out / f"{name}.png").size) > 300
        assert (out / f"{name}.svg").stat().st_size > 1000


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"--silos": "gai"}, "did you mean gaia?"),
        ({"--silos": "missing.gml"}, "no such file"),
        ({"--model-bits": "0"}, "--model-bits must be a positive number"),
        ({"--model-bits": "many"}, "invalid float value"),
        ({"--compute-ms": "nan"}, "--compute-ms must be zero or a positive number"),
        ({"--max-degree": "0"}, "--max-degree must be 1 or more"),
        ({"--search-steps": "-1"}, "--search-steps must be 0"),
        ({"--mixng": "local"}, "did you mean --mixing"),
    ],
)
def test_bad_input_ends_with_two(
    changed: dict[str, str], said: str, cities: Path, tmp_path: Path, kinesics: Callable[..., Any]
) -> None:
    given = {"--silos": str(cities), "--model-bits": "1e7", "--compute-ms": "5", "--out": str(tmp_path), **changed}
    answer = kinesics("topology", "design", *(word for pair in given.items() for word in pair))
    assert answer.code == 2 and answer.out == ""
    assert answer.err.startswith("error: ") and said in answer.err, answer.err
