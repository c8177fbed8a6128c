"""Derived manifests: whose rows, which labels, what truth is kept, and that the draws are the documented ones."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from kinesics.data.emotions import BASIC
from kinesics.errors import UserError
from kinesics.studies.compare.manifests import derive
from kinesics.studies.compare.reading import read_study

BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"


@pytest.fixture
def table(tmp_path: Path) -> pd.DataFrame:
    """Seven classes with votes and a second label column, 120 training, 40 validation and 40 test rows."""
    rng = np.random.default_rng(5)
    votes = rng.multinomial(10, np.ones(7) / 7, 200)
    found = pd.DataFrame({"index": np.arange(200), "path": [f"images/{i:05d}.png" for i in range(200)]})
    found["label"] = np.array(BASIC)[votes.argmax(1)]
    found["split"] = rng.permutation(["train"] * 120 + ["valid"] * 40 + ["test"] * 40)
    found["fer2013"] = rng.choice(BASIC, 200)
    for place, name in enumerate(BASIC):
        found[f"p_{name}"] = votes[:, place]
    found.drop(columns=["index"]).to_csv(tmp_path / "all.csv", index=False)
    return found


def derived(folder: Path, condition: dict[str, Any], seed: int = 0, **more: Any) -> tuple[pd.DataFrame, Any]:
    """The manifest of one condition as a table, and what `derive` said."""
    content = {
        "title": "T", "data": str(folder / "all.csv"), "methods": {"cross_entropy": {}}, "conditions": {"c": condition},
        "seeds": [seed], "common": {"classes": list(BASIC)}, **more,
    }  # fmt: skip
    (folder / "study.yaml").write_text(yaml.safe_dump(content))
    found = derive(read_study(folder / "study.yaml"), "c", seed, folder / "derived")
    return pd.read_csv(found.path, keep_default_na=False), found


@pytest.mark.parametrize("seed", [0, 3])
@pytest.mark.parametrize(
    ("name", "condition"),
    [
        ("natural", {"n_train": 50, "label_column": "fer2013"}),
        ("clean", {"n_train": 50}),
        ("flip30", {"n_train": 50, "noise": {"kind": "symmetric", "share": 0.3}}),
    ],
)
def test_draws_are_those_of_the_benchmark(
    name: str,
    condition: dict[str, Any],
    seed: int,
    table: pd.DataFrame,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The rows and labels of benchmarks/ferplus_noise.py, so that its results are results of the study."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.delitem(sys.modules, "ferplus_manifest", raising=False)
    benchmark = importlib.import_module("ferplus_manifest")
    wanted = pd.read_csv(benchmark.write_condition(table, tmp_path, name, seed, 50))
    found, _ = derived(tmp_path, condition, seed)
    assert list(found["label"]) == list(wanted["label"]) and list(found["split"]) == list(wanted["split"])
    assert [Path(p).name for p in found["path"]] == [Path(p).name for p in wanted["path"]]
    assert list(found["true_label"]) == list(wanted["majority"])


def test_flips_leave_test_labels_and_their_number_is_exact(table: pd.DataFrame, tmp_path: Path) -> None:
    found, _ = derived(tmp_path, {"noise": {"share": 0.25}})
    wrong = found["label"] != found["true_label"]
    assert wrong.groupby(found["split"]).sum().to_dict() == {"train": 30, "valid": 10, "test": 0}
    assert list(found["true_label"]) == list(table["label"])
    assert (tmp_path / "derived" / found["path"][0]).resolve() == (tmp_path / table["path"][0]).resolve()


def test_flips_of_each_class_go_where_they_are_sent(table: pd.DataFrame, tmp_path: Path) -> None:
    rows = {name: {BASIC[(k + 1) % 7]: 1.0} for k, name in enumerate(BASIC)}
    found, _ = derived(tmp_path, {"noise": {"kind": "class_dependent", "share": 0.5, "transition": rows}})
    wrong = found[found["label"] != found["true_label"]]
    assert len(wrong) == 80
    assert all(
        BASIC.index(a) == (BASIC.index(b) + 1) % 7 for a, b in zip(wrong["label"], wrong["true_label"], strict=True)
    )
    del rows["fear"]
    with pytest.raises(UserError, match="it lacks fear"):
        derived(tmp_path, {"noise": {"kind": "class_dependent", "share": 0.5, "transition": rows}})


def test_stratified_samples_keep_the_proportions(table: pd.DataFrame, tmp_path: Path) -> None:
    found, _ = derived(tmp_path, {"n_train": 60, "sampling": "stratified"})
    train = found[found["split"] == "train"]
    whole = table[table["split"] == "train"]["label"].value_counts()
    assert len(train) == 60
    assert ((train["label"].value_counts().reindex(whole.index).fillna(0) - whole / 2).abs() <= 1.5).all()


def test_labels_by_votes_and_of_another_column(table: pd.DataFrame, tmp_path: Path) -> None:
    votes = table[[f"p_{name}" for name in BASIC]].to_numpy()
    found, _ = derived(tmp_path, {"label_column": "votes", "test_label_column": "fer2013"})
    test = (table["split"] == "test").to_numpy()
    assert list(found["label"][~test]) == [BASIC[k] for k in votes[~test].argmax(1)]
    assert list(found["label"][test]) == list(table["fer2013"][test])
    for column, said in (("fer2012", "no column 'fer2012'"), ("path", "holds none of the classes")):
        with pytest.raises(UserError, match=said):
            derived(tmp_path, {"label_column": column})


def test_rows_without_the_chosen_label_are_left_out(table: pd.DataFrame, tmp_path: Path) -> None:
    """They would be trained on by their votes, and no flip would reach them."""
    table["second"] = table["fer2013"]
    table.loc[::4, "second"] = ""
    table.loc[1::4, "second"] = "unclear"
    table.drop(columns=["index"]).to_csv(tmp_path / "all.csv", index=False)
    condition = {"label_column": "second", "test_label_column": "second", "noise": {"share": 0.5}}
    found, told = derived(tmp_path, condition)
    kept = table[table["second"].isin(BASIC)]
    assert [Path(p).name for p in found["path"]] == [Path(p).name for p in kept["path"]]
    assert (found["label"] != "").all()
    test = (found["split"] == "test").to_numpy()
    assert list(found["label"][test]) == list(kept["second"][test])
    place = (found["split"] == "train").to_numpy()
    assert (found["label"].to_numpy() != kept["second"].to_numpy())[place].sum() == round(0.5 * place.sum())
    left = (table["split"] == "test").sum() - test.sum()
    assert told.notes[1] == f"test labels from second; {left} rows without one are left out"
    assert told.notes[0].startswith("training and validation labels from second; ")


@pytest.mark.parametrize("which", ["label_column", "test_label_column"])
def test_labels_of_a_column_called_as_ours(which: str, table: pd.DataFrame, tmp_path: Path) -> None:
    """A manifest that has `true_label` already: it is read before it is written."""
    table.rename(columns={"fer2013": "true_label"}).drop(columns=["index"]).to_csv(tmp_path / "all.csv", index=False)
    found, _ = derived(tmp_path, {which: "true_label"})
    place = (table["split"] == "test").to_numpy() == (which == "test_label_column")
    assert list(found["label"][place]) == list(table["fer2013"][place])
    assert list(found["label"][~place]) == list(table["label"][~place])
    assert list(found["true_label"]) == list(table["label"])


def test_an_equal_manifest_is_left_alone(table: pd.DataFrame, tmp_path: Path) -> None:
    _, first = derived(tmp_path, {"noise": {"share": 0.25}})
    before = first.path.stat().st_mtime_ns
    derived(tmp_path, {"noise": {"share": 0.25}})
    assert first.path.stat().st_mtime_ns == before
    derived(tmp_path, {"noise": {"share": 0.5}})
    assert first.path.stat().st_mtime_ns != before


def test_test_rows_of_another_set(table: pd.DataFrame, tmp_path: Path) -> None:
    """Other spellings, a class that is called otherwise, one that only the other has, and one that it lacks."""
    other = tmp_path / "other"
    other.mkdir()
    pd.DataFrame(
        {
            "path": ["a.png", "b.png", "c.png", "d.png", "e.png"],
            "label": ["happy", "Sad", "upset", "contempt", "Happy"],
            "split": ["test", "test", "test", "test", "train"],
        }
    ).to_csv(other / "m.csv", index=False)
    condition = {"test_data": str(other / "m.csv"), "class_map": {"upset": "anger"}}
    found, told = derived(tmp_path, condition)
    test = found[found["split"] == "test"]
    assert list(test["label"]) == ["happiness", "sadness", "anger"]
    assert (told.path.parent / test["path"].iloc[0]).resolve() == (other / "a.png").resolve()
    assert told.classes == ("happiness", "sadness", "anger")
    assert set(found["label"]) == {*told.classes} and (found["split"] == "train").sum() > 10
    assert "upset as anger" in told.notes[0] and "left out: neutral" in told.notes[0] and "contempt" in told.notes[0]
    with pytest.raises(UserError, match="class_map names cross"):
        derived(tmp_path, {**condition, "class_map": {"cross": "anger"}})
    with pytest.raises(UserError, match="class_map gives angr"):
        derived(tmp_path, {**condition, "class_map": {"upset": "angr"}})


def test_votes_of_another_set_are_summed_under_our_names(table: pd.DataFrame, tmp_path: Path) -> None:
    pd.DataFrame({"path": ["a.png"], "split": ["test"], "p_happy": [3], "p_upset": [4], "p_anger": [2]}).to_csv(
        tmp_path / "votes.csv", index=False
    )
    found, told = derived(tmp_path, {"test_data": str(tmp_path / "votes.csv"), "class_map": {"upset": "anger"}})
    test = found[found["split"] == "test"].iloc[0]
    assert told.classes == ("happiness", "anger")
    assert (test["label"], float(test["p_anger"]), float(test["p_happiness"])) == ("anger", 6.0, 3.0)


def test_more_samples_than_there_are(table: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has 120 training rows, n_train asks for 121"):
        derived(tmp_path, {"n_train": 121})
