"""kinesics evaluate: the numbers, by subgroup, and where they are written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kinesics.data.emotions import BASIC


def shares(table: pd.DataFrame, prefix: str = "p_") -> np.ndarray:
    return table[[f"{prefix}{name}" for name in BASIC]].to_numpy()


def test_metrics_are_those_of_the_run(run: Path, faces: Path, kinesics: Callable[..., Any]) -> None:
    answer = kinesics("evaluate", run, "--data", faces, "--json")
    stored = json.loads((run / "run.json").read_text())["selected"]["test"]
    assert answer.code == 0 and json.loads(answer.out) == pytest.approx(stored, abs=1e-6, nan_ok=True)


def test_metrics_by_hand(run: Path, faces: Path, tmp_path: Path, kinesics: Callable[..., Any]) -> None:
    """Accuracy, UAR and the divergence from the true mixtures, from the written answers alone."""
    out = tmp_path / "out"
    found = json.loads(kinesics("evaluate", run, "--data", faces, "--json", "--out", out).out)
    table = pd.read_csv(out / "predictions.csv")
    truth = table["label"].map(BASIC.index).to_numpy()
    guess = shares(table).argmax(1)
    assert found["accuracy"] == pytest.approx((truth == guess).mean())
    assert found["uar"] == pytest.approx(np.mean([(guess[truth == k] == k).mean() for k in np.unique(truth)]))
    mixture = shares(pd.read_csv(faces).query("split == 'test'"))
    assert shares(table, "true_") == pytest.approx(mixture, abs=1e-5)
    inside = np.where(mixture > 0, mixture * np.log(np.where(mixture > 0, mixture, 1) / shares(table)), 0)
    assert found["kl"] == pytest.approx(inside.sum(1).mean(), rel=1e-3)
    wanted = {"chebyshev", "clark", "canberra", "cosine", "intersection", "ece", "ece_calibrated", "ccc_valence"}
    assert wanted <= found.keys() and {f"recall/{name}" for name in BASIC} <= found.keys()


def test_tables_and_files(run: Path, faces: Path, tmp_path: Path, kinesics: Callable[..., Any]) -> None:
    out = tmp_path / "out"
    answer = kinesics("evaluate", run, "--data", faces, "--by", "group", "--out", out)
    assert answer.code == 0 and all(word in answer.out for word in ("accuracy", "recall", "confusion", "by group"))
    names = {"evaluation.json", "predictions.csv", "classes.csv", "confusion.csv", "subgroups.csv"}
    assert {path.name for path in out.iterdir()} == names
    subgroups, table = pd.read_csv(out / "subgroups.csv"), pd.read_csv(out / "predictions.csv")
    group = pd.read_csv(faces).query("split == 'test'")["group"].to_numpy()
    right = pd.Series((table["predicted"] == table["label"]).to_numpy()).groupby(group)
    assert subgroups["n"].sum() == 20
    assert subgroups.set_index("group")["accuracy"].to_dict() == pytest.approx(right.mean().to_dict())
    confusion = pd.read_csv(out / "confusion.csv").set_index("truth")
    assert confusion.to_numpy().sum() == 20
    counted = pd.crosstab(table["label"], table["predicted"])
    assert all(confusion.loc[a, b] == counted.loc[a, b] for a in counted.index for b in counted.columns)


def test_other_splits_and_other_weights(run: Path, faces: Path, kinesics: Callable[..., Any]) -> None:
    stored = json.loads((run / "run.json").read_text())
    for flags, expected in (
        (("--split", "valid"), stored["selected"]["valid"]),
        (("--last",), stored["last"]["test"]),
    ):
        found = json.loads(kinesics("evaluate", run, "--data", faces, "--json", *flags).out)
        assert found == pytest.approx(expected, abs=1e-6, nan_ok=True)


def changed(faces: Path, tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Path:
    """The faces' manifest, changed, somewhere else; only its test rows."""
    table = pd.read_csv(faces).query("split == 'test'").reset_index(drop=True)
    table["path"] = [str(faces.parent / name) for name in table["path"]]
    path = tmp_path / "changed.csv"
    change(table).to_csv(path, index=False)
    return path


def test_labels_in_other_words(run: Path, faces: Path, tmp_path: Path, kinesics: Callable[..., Any]) -> None:
    words = {"happiness": "Happy", "sadness": "sad", "anger": "ANGRY"}
    path = changed(faces, tmp_path, lambda table: table.assign(label=table["label"].replace(words)))
    expected = json.loads(kinesics("evaluate", run, "--data", faces, "--json").out)
    assert json.loads(kinesics("evaluate", run, "--data", path, "--json").out) == pytest.approx(
        expected, abs=1e-6, nan_ok=True
    )


def test_subgroups_without_a_value(run: Path, faces: Path, tmp_path: Path, kinesics: Callable[..., Any]) -> None:
    path = changed(faces, tmp_path, lambda table: table.assign(age=["young"] * 8 + [None] * 12))
    kinesics("evaluate", run, "--data", path, "--by", "age", "--out", tmp_path / "out")
    table = pd.read_csv(tmp_path / "out" / "subgroups.csv")
    assert dict(zip(table["age"], table["n"], strict=True)) == {"(none)": 12, "young": 8}


@pytest.mark.parametrize("column", ["label", "anything"])
def test_without_labels_it_says_so(
    column: str, run: Path, faces: Path, tmp_path: Path, kinesics: Callable[..., Any]
) -> None:
    """No label column at all, or an empty one; valence and arousal alone are judged."""

    def unlabelled(table: pd.DataFrame) -> pd.DataFrame:
        bare = table.drop(columns=["label", *(name for name in table if str(name).startswith("p_"))])
        return bare.assign(**{column: ""})

    found = json.loads(kinesics("evaluate", run, "--data", changed(faces, tmp_path, unlabelled), "--json").out)
    assert np.isfinite(found["ccc_valence"]) and np.isnan(found["accuracy"])
    bare = changed(faces, tmp_path, lambda table: unlabelled(table).drop(columns=["valence", "arousal"]))
    answer = kinesics("evaluate", run, "--data", bare)
    assert answer.code == 2 and "nothing to compare the answers with" in answer.err


def test_mistakes(run: Path, faces: Path, tmp_path: Path, kinesics: Callable[..., Any]) -> None:
    for flags, said in (
        (("--by", "age"), "--by age: the manifest has no such column; it has valence, arousal, group"),
        (("--device", "cuda:9"), "--device cuda:9"),
        (("--out", run), "whose own files would be lost"),
        (("--device", "toaster"), "--device 'toaster'"),
    ):
        answer = kinesics("evaluate", run, "--data", faces, *flags)
        assert answer.code == 2 and said in answer.err, answer.err
    answer = kinesics("evaluate", run, "--data", changed(faces, tmp_path, lambda table: table), "--split", "valid")
    assert answer.code == 2 and "no rows in split valid" in answer.err


def test_a_run_that_is_not_finished_or_damaged(
    run: Path, faces: Path, tmp_path: Path, kinesics: Callable[..., Any]
) -> None:
    (tmp_path / "half").mkdir()
    shutil.copy(run / "run.json", tmp_path / "half")
    answer = kinesics("evaluate", tmp_path / "half", "--data", faces)
    assert answer.code == 2 and "never finished" in answer.err and "--resume" in answer.err
    for name in ("model.json", "model.safetensors"):
        shutil.copy(run / name, tmp_path / "half")
    content = bytearray((tmp_path / "half" / "model.safetensors").read_bytes())
    content[-9] ^= 4
    (tmp_path / "half" / "model.safetensors").write_bytes(content)
    answer = kinesics("evaluate", tmp_path / "half", "--data", faces)
    assert answer.code == 2 and "is damaged" in answer.err


def test_unreadable_images(run: Path, faces: Path, tmp_path: Path, kinesics: Callable[..., Any]) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")

    def spoil(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[4, "path"] = str(bad)
        return table

    path = changed(faces, tmp_path, spoil)
    answer = kinesics("evaluate", run, "--data", path)
    assert answer.code == 2 and "bad.png" in answer.err and "line 6" in answer.err
    answer = kinesics("evaluate", run, "--data", path, "--on-bad-image", "skip", "--out", tmp_path / "out")
    assert answer.code == 0 and "left out, line 6" in answer.err
    assert len(pd.read_csv(tmp_path / "out" / "predictions.csv")) == 19
