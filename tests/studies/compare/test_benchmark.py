"""benchmarks of FER+ and their tables: rows taken over, and what is set in bold."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

from kinesics.studies.compare.cells import cells, definition
from kinesics.studies.compare.reading import read_study
from kinesics.studies.compare.results import read_results, recorded

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """benchmarks/noise_study.py as a module."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    for name in ("noise_study", "ferplus_manifest", "readme_tables"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module("noise_study")


def test_rows_of_the_older_benchmark_are_rows_of_the_study(script: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    script.seed_rows(ROOT / "benchmarks" / "ferplus_noise.csv", path)
    old, new = pd.read_csv(ROOT / "benchmarks" / "ferplus_noise.csv"), pd.read_csv(path)
    clean = old[(old["condition"] == "clean") & (old["seed"] == 1) & (old["schedule"] == "long")].iloc[0]
    same = new[(new["condition"] == "flip0") & (new["seed"] == 1) & (new["schedule"] == "long")].iloc[0]
    assert (clean["method"], clean["accuracy_last"]) == (same["method"], same["accuracy_last"])
    assert set(new["method"]) == {"cross_entropy", "smoothed", "ldlva"} and new["noise_share"].isin([0.0, 0.3]).all()
    study = read_study(script.STUDIES["noise"])
    assert len(recorded(study, read_results(path), cells(study))) == len(new)
    before = path.read_bytes()
    script.seed_rows(ROOT / "benchmarks" / "ferplus_noise.csv", path)
    assert path.read_bytes() == before


def test_bold_is_the_best_that_saw_noisy_labels_only(script: ModuleType) -> None:
    tables = importlib.import_module("readme_tables")
    rows = [
        {
            "condition": "flip30", "method": method, "schedule": "short", "seed": 0, "epochs": 10,
            "accuracy_selected": accuracy, "accuracy_last": accuracy, "kl_selected": kl, "kl_last": kl,
            "uar_selected": accuracy - 0.1, "auroc_label_doubt": 0.9,
        }
        for method, accuracy, kl in (("cross_entropy", 0.7, 0.6), ("scn", 0.72, 0.65), ("ldl_votes", 0.8, 0.4))
    ]  # fmt: skip
    text = tables.noise_study(pd.DataFrame(rows))
    assert "| majority, 30 % flipped | 10 | SCN | **72.0** | **72.0** | **62.0** | 0.650 | 0.650 |" in text
    assert "| cross-entropy | 70.0 | 70.0 | 60.0 | **0.600** |" in text and "| votes (ceiling) | 80.0 |" in text


def test_the_two_studies_share_cells(script: ModuleType) -> None:
    """In one folder a cell of both must be the same one, or the second study would refuse it."""
    noise, cross = (read_study(script.STUDIES[name]) for name in ("noise", "cross"))
    both = set(cells(noise)) & set(cells(cross))
    assert {cell.condition for cell in both} == {"natural", "flip0"} and {cell.method for cell in both} == set(
        cross.methods
    )
    for cell in both:
        assert definition(noise, cell) == definition(cross, cell), cell


def test_the_cross_table_pairs_seeds(script: ModuleType) -> None:
    tables = importlib.import_module("readme_tables")
    rows = [
        {"condition": condition, "method": "scn", "schedule": "short", "seed": seed, "accuracy_last": accuracy}
        for condition, seed, accuracy in (
            ("natural", 0, 0.6), ("natural", 1, 0.62), ("natural", 2, 0.9),
            ("natural_by_fer2013", 1, 0.61), ("natural_by_fer2013", 0, 0.57), ("flip0", 0, 0.5),
        )
    ]  # fmt: skip
    text = tables.cross_labels(pd.DataFrame(rows))
    assert "| original FER2013 labels | SCN | 61.0 ± 1.0 | 59.0 ± 2.0 | 2.0 ± 1.0 | 2 |" in text
    assert "majority" not in text


def test_kept_tests_need_all_runs(script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The baseline and cells that were not run have no difference; a row whose run is gone has none over images."""
    monkeypatch.setattr(script, "TESTS", tmp_path / "tests.csv")
    names = {"condition": "flip30", "schedule": "long", "method": "ldlva"}
    row = {**dict.fromkeys(script.TESTED, 0.25), **names, "seeds": 3}
    untold = dict.fromkeys(("accuracy_selected_difference", "mcnemar_p"), float("nan"))
    baseline = {**row, **untold, "method": "cross_entropy"}
    script.keep_tests(pd.DataFrame([baseline, row, {**row, "method": "scn", "seeds": 0}]))
    kept = pd.read_csv(tmp_path / "tests.csv")
    assert kept["method"].tolist() == ["ldlva"] and tuple(kept) == script.TESTED
    text = importlib.import_module("readme_tables").noise_study_tests(kept.assign(mcnemar_p_holm=0.0002))
    assert "| majority, 30 % flipped | 30 | +25.0 ± 25.0 | +25.0 to +25.0 | 0.250 | < 0.001 | 0.250 | +0.250 ±" in text
    with pytest.raises(SystemExit, match="runs of some cells are gone"):
        script.keep_tests(pd.DataFrame([row, {**row, "method": "scn", "mcnemar_p": float("nan")}]))
    assert len(pd.read_csv(tmp_path / "tests.csv")) == 1


def test_recipes_of_the_published_protocol_have_a_row(script: ModuleType) -> None:
    """A recipe that is measured must not be missing in the table; means over seeds by hand."""
    tables, published = (importlib.import_module(name) for name in ("readme_tables", "ferplus_published"))
    assert set(tables.PUBLISHED) == set(published.RECIPES)
    numbers = {"parameters": 2_758_808, "accuracy_last": 0.8, "uar": 0.6, "kl": 0.3, "seconds": 600}
    numbers |= {"train": 9, "test": 4}
    rows = [
        {"recipe": "shipped-wide", "seed": seed, "accuracy": accuracy, "accuracy_flipped": 0.9, **numbers}
        for seed, accuracy in ((0, 0.84), (1, 0.86))
    ]
    text = tables.ferplus_published(pd.DataFrame(rows))
    assert "(ships) | 2.8 | 85.0 ± 1.0 | 90.0 ± 0.0 | 80.0 ± 0.0 | 60.0 ± 0.0 | 0.300 ± 0.000 | 10 | 2 |" in text
