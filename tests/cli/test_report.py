"""kinesics report: the page written anew, and the figures of answers and labels."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kinesics.data.emotions import BASIC
from kinesics.engine.run_figures import vote_entropy


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    """A copy of the run of LDLVA."""
    return Path(shutil.copytree(run, tmp_path / "copy"))


def text_of(page: Path) -> str:
    """What a page says, without its drawings."""
    return re.sub(r"<svg.*?</svg>|<style.*?</style>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_page_anew_is_the_page_of_the_training(copy: Path, run: Path, kinesics: Callable[..., Any]) -> None:
    (copy / "report.html").unlink()
    answer = kinesics("report", copy)
    assert answer.code == 0, answer.err
    assert text_of(copy / "report.html") == text_of(run / "report.html")


def test_figures(copy: Path, faces: Path, kinesics: Callable[..., Any]) -> None:
    answer = kinesics("report", copy, "--figures")
    out = copy / "figures"
    assert answer.code == 0, answer.err
    names = {f"{name}.{kind}" for name in ("votes", "uncertainty") for kind in ("png", "svg", "csv")}
    assert {path.name for path in out.iterdir()} == names
    votes, manifest = pd.read_csv(out / "votes.csv"), pd.read_csv(faces)
    test = manifest[manifest["split"] == "test"].set_index("path")
    shares = test[[f"p_{name}" for name in BASIC]].to_numpy()
    entropy = -np.where(shares > 0, shares * np.log(np.where(shares > 0, shares, 1)), 0).sum(1)
    assert votes["entropy"].to_numpy() == pytest.approx(np.sort(entropy)[::-1][:12], rel=1e-4)
    for _, row in votes.iterrows():
        assert row[[f"votes_{n}" for n in BASIC]].to_numpy(float) == pytest.approx(
            test.loc[row["path"], [f"p_{n}" for n in BASIC]].to_numpy(float), abs=1e-5
        )
        assert row[[f"p_{n}" for n in BASIC]].sum() == pytest.approx(1)
    shown, samples = pd.read_csv(out / "uncertainty.csv"), pd.read_csv(copy / "samples.csv")
    for label, part in shown.groupby("label"):
        own = samples[samples["label"] == label]["uncertainty"]
        assert len(part) == 6 and part["uncertainty"].is_monotonic_decreasing
        assert (part["uncertainty"].iloc[0], part["uncertainty"].iloc[-1]) == (own.max(), own.min())


def test_votes_over_more_classes_than_the_run_knows(
    copy: Path, faces: Path, tmp_path: Path, kinesics: Callable[..., Any]
) -> None:
    table = pd.read_csv(faces)
    table["path"] = [str(faces.parent / path) for path in table["path"]]
    shares = [name for name in table if name.startswith("p_")]
    table[shares] = table[shares] * 0.8
    table["p_contempt"] = 0.2
    more = tmp_path / "more.csv"
    table.to_csv(more, index=False)
    answer = kinesics("report", copy, "--figures", "--data", more)
    assert answer.code == 0, answer.err
    votes = pd.read_csv(copy / "figures" / "votes.csv")
    assert [name for name in votes if name.startswith("votes_")] == [f"votes_{name}" for name in BASIC]
    assert votes[[f"votes_{name}" for name in BASIC]].sum(axis=1).to_numpy() == pytest.approx(1)


def test_labels_without_votes_and_without_learned_uncertainty(
    copy: Path, faces: Path, tmp_path: Path, kinesics: Callable[..., Any]
) -> None:
    """Of the two figures the one that can be drawn is; when neither can, it is an error."""
    table = pd.read_csv(faces)
    bare = faces.with_name("bare.csv")
    table.drop(columns=[name for name in table if name.startswith("p_")]).to_csv(bare, index=False)
    samples = pd.read_csv(copy / "samples.csv").drop(columns=["uncertainty"])
    samples.to_csv(copy / "samples.csv", index=False)
    answer = kinesics("report", copy, "--figures", "--data", bare, "--out", tmp_path / "out")
    assert answer.code == 0 and "left out:" in answer.out and "no p_<class> columns" in answer.out
    assert "label_doubt" in pd.read_csv(tmp_path / "out" / "uncertainty.csv")
    samples[["path", "label"]].to_csv(copy / "samples.csv", index=False)
    answer = kinesics("report", copy, "--figures", "--data", bare, "--out", tmp_path / "none")
    assert answer.code == 2 and "no p_<class> columns" in answer.err and not (tmp_path / "none").exists()


def test_another_manifest_is_refused(copy: Path, faces: Path, kinesics: Callable[..., Any]) -> None:
    table = pd.read_csv(faces)
    other = faces.with_name("fewer.csv")
    table.drop(index=table.index[table["split"] == "train"][:3]).to_csv(other, index=False)
    answer = kinesics("report", copy, "--data", other)
    assert answer.code == 2 and "not the one" in answer.err
    answer = kinesics("report", copy, "--figures", "--data", other)
    assert answer.code == 0 and "3 of 60 training samples" in answer.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("{run}/none",), "no trained model"),
        (("{run}", "--out", "x"), "--out says where figures go"),
        (("{run}", "--data", "none.csv"), "none.csv"),
        (("{run}", "--figure"), "--figures"),
    ],
)
def test_bad_input(words: tuple[str, ...], said: str, run: Path, kinesics: Callable[..., Any]) -> None:
    answer = kinesics("report", *(word.replace("{run}", str(run)) for word in words))
    assert answer.code == 2 and said in answer.err and "Traceback" not in answer.err


def test_damaged_runs(copy: Path, tmp_path: Path, kinesics: Callable[..., Any]) -> None:
    (tmp_path / "file").write_text("mine")
    answer = kinesics("report", copy, "--figures", "--out", tmp_path / "file")
    assert answer.code == 2 and "can't make the folder" in answer.err and (tmp_path / "file").read_text() == "mine"
    (copy / "run.json").write_text('{"status": "finished", "data": 3}')
    assert "is not the one that" in kinesics("report", copy).err
    for content in (b"\xff\xfe", None):
        (copy / "config.yaml").unlink()
        if content is not None:
            (copy / "config.yaml").write_bytes(content)
        answer = kinesics("report", copy)
        assert answer.code == 2 and "config.yaml can't be read" in answer.err


def test_entropy_by_hand() -> None:
    found = vote_entropy(np.array([[1.0, 0.0], [0.5, 0.5], [0.9, 0.1], [np.nan, np.nan]]))
    assert found[:3] == pytest.approx([0.0, np.log(2), -(0.9 * np.log(0.9) + 0.1 * np.log(0.1))]) and np.isnan(found[3])
