"""kinesics audit and kinesics data apply-review, through the real command."""

from __future__ import annotations

import csv
import http.client
import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from kinesics.engine.classifier import Classifier
from kinesics.engine.run import Run, load_model
from kinesics.studies.audit.evidence import gather
from kinesics.systems import get_system

Kinesics = Callable[..., Any]


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def manifest(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The faces' manifest in a folder of its own, where decisions may be written beside it."""
    folder = tmp_path_factory.mktemp("audited") / "faces"
    shutil.copytree(faces.parent, folder)
    return folder / faces.name


def test_audit_propose_and_apply(kinesics: Kinesics, run: Path, manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "audit"
    answer = kinesics("audit", run, "--data", manifest, "--out", out, "--top", 10, "--propose-decisions", 5)
    assert answer.code == 0, answer.err
    rows, samples = table(out / "audit.csv"), table(run / "samples.csv")
    assert {row["path"] for row in rows} == {row["path"] for row in samples}
    by_path = {row["path"]: row for row in samples}
    assert all(abs(float(row["uncertainty"]) - float(by_path[row["path"]]["uncertainty"])) < 1e-5 for row in rows)
    for row in rows:
        kept = float(by_path[row["path"]][f"target_{row['label']}"])
        assert abs(float(row["constructed_doubt"]) - (1 - kept)) < 1e-5
    lines = manifest.read_text().splitlines()
    assert all(lines[int(row["line"]) - 1].startswith(row["path"] + ",") for row in rows)
    summary = json.loads((out / "audit.json").read_text())
    assert summary["samples"] == 60 and summary["settings"]["folds"] == 0
    assert "gallery.html" in answer.out and (out / "gallery.html").stat().st_size > 10_000

    decisions = manifest.parent / "decisions.csv"
    proposed = table(decisions)
    expected = [row for row in rows if row["proposed"] != row["label"]][:5]
    assert [(d["path"], d["decision"], d["label"]) for d in proposed] == [
        (row["path"], "relabel", row["proposed"]) for row in expected
    ]
    again = kinesics("audit", run, "--data", manifest, "--out", out, "--propose-above", 0.9)
    assert again.code == 2 and "would be lost" in again.err

    corrected = tmp_path / "corrected.csv"
    answer = kinesics("data", "apply-review", manifest, decisions, corrected)
    assert answer.code == 0, answer.err
    assert f"100 of 100 rows; {len(expected)} relabelled, 0 kept as they were, 0 dropped" in answer.out
    assert "p_ columns in which another class leads; they were kept" in answer.out
    after = {Path(row["path"]).name: row for row in table(corrected) if row["split"] == "train"}
    for row in expected:
        changed = after[Path(row["path"]).name]
        assert (changed["label"], changed["label_before_review"]) == (row["proposed"], row["label"])
    assert kinesics("data", "check", corrected, "--no-images").code == 0
    decisions.unlink()


def test_the_model_is_asked_about_each_picture_and_its_mirror_image(run: Path, manifest: Path, tmp_path: Path) -> None:
    found = gather(run, str(manifest), 0, tmp_path)
    task, _ = load_model(Run.find(run), lambda name: get_system(name).task_class)
    assert isinstance(task, Classifier)
    pixels = torch.from_numpy(found.samples.pixels(np.arange(len(found.samples))))
    with torch.no_grad():
        views = [
            task.features_and_logits(task.transform({"image": p}, None)["image"]) for p in (pixels, pixels.flip(2))
        ]
    (feature, logits), (other, others) = views
    assert (logits - others).abs().max() > 1e-3, "the model tells left from right"
    expected = (torch.softmax(logits, 1) + torch.softmax(others, 1)) / 2
    assert np.allclose(found.model, expected.numpy(), atol=1e-5)
    assert np.allclose(found.feature, ((feature + other) / 2).numpy(), atol=1e-4)


def test_folds_add_their_signals_and_are_remembered(kinesics: Kinesics, faces: Path, tmp_path: Path) -> None:
    run, out = tmp_path / "plain", tmp_path / "plain" / "audit"
    fit = ("--fit.epochs", 1, "--fit.batch_size", 16, "--fit.threads", 1, "--input.size", 16)
    assert kinesics("train", "cross_entropy", "--data", faces, "--out", run, *fit).code == 0
    answer = kinesics("audit", run, "--folds", 2)
    assert answer.code == 0, answer.err
    assert {"fold_doubt", "fold_margin"} <= set(table(out / "audit.csv")[0])
    stamps = [path.stat().st_mtime_ns for path in sorted((out / "folds").glob("*.npz"))]
    assert len(stamps) == 2
    assert kinesics("audit", run, "--neighbours", 3).code == 0
    assert json.loads((out / "audit.json").read_text())["settings"]["folds"] == 2
    assert [path.stat().st_mtime_ns for path in sorted((out / "folds").glob("*.npz"))] == stamps
    answer = kinesics("audit", run, "--folds", 3)
    assert answer.code == 2 and "changed: folds" in answer.err
    (out / "audit.json").unlink()  # as where it was killed while writing
    assert kinesics("audit", run, "--top", 7).code == 0
    before = json.loads((out / "audit.json").read_text())["settings"]
    assert (before["folds"], before["neighbours"], before["top"]) == (2, 3, 7)
    kept = out / "folds" / "fold-2.npz"
    with np.load(kept) as stored:
        content = dict(stored)
    np.savez(kept, position=content["position"], probability=content["probability"] * np.nan)
    answer = kinesics("audit", run)
    assert answer.code == 2 and "fold-2.npz holds answers that are not finite" in answer.err
    kept.unlink()
    assert kinesics("audit", run).code == 0
    assert json.loads((out / "audit.json").read_text())["settings"] == before
    tuned = tmp_path / "tuned"
    assert kinesics("train", "cross_entropy", "--data", faces, "--out", tuned, *fit, "--weights", run).code == 0
    answer = kinesics("audit", tuned, "--folds", 2)
    assert answer.code == 2 and "has learned from 60 of these samples" in answer.err
    assert kinesics("audit", tuned).code == 0


@pytest.mark.parametrize("change", ["more", "others"])
def test_a_manifest_of_other_classes_is_refused(
    kinesics: Kinesics, run: Path, manifest: Path, tmp_path: Path, change: str
) -> None:
    """Rows of the test split decide which classes there are, and so which number a class has."""
    table = pd.read_csv(manifest)
    table["path"] = [str(manifest.parent / path) for path in table["path"]]
    test = table["split"] == "test"
    if change == "others":
        table = table[~(test & (table["label"] == "fear"))]
    first = table.index[table["split"] == "test"][0]
    table.loc[first, "label"] = "contempt"
    other = tmp_path / "other.csv"
    table.drop(columns=[name for name in table if name.startswith("p_")]).to_csv(other, index=False)
    answer = kinesics("audit", run, "--data", other, "--out", tmp_path / "a")
    assert answer.code == 2 and "contempt" in answer.err and "has the classes" in answer.err


def test_review_serves_the_audit_that_is_there(
    kinesics: Kinesics, started: Callable[..., Popen[str]], run: Path, manifest: Path, tmp_path: Path
) -> None:
    out = tmp_path / "audit"
    assert kinesics("audit", run, "--data", manifest, "--out", out, "--top", 4).code == 0
    process = started("audit", run, "--data", manifest, "--out", out, "--top", 4, "--review")
    assert process.stdout is not None
    assert "shown as it is" in process.stdout.readline()
    address = process.stdout.readline().strip()
    try:
        host, _, token = address.removeprefix("http://").rstrip("/").partition("/")
        connection = http.client.HTTPConnection(host, timeout=20)
        path = table(out / "audit.csv")[0]["path"]
        body = json.dumps({"position": 0, "path": path, "decision": "drop", "label": ""})
        connection.request("POST", f"/{token}/decision", body, {"Content-Type": "application/json"})
        assert connection.getresponse().status == 200
        connection.close()
        decisions = manifest.parent / "decisions.csv"
        assert [(row["path"], row["decision"]) for row in table(decisions)] == [(path, "drop")]
    finally:
        process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert f"the review is in {decisions}" in rest
    decisions.unlink()


def test_the_page_has_the_name_of_the_folder_one_is_in(
    kinesics: Kinesics, run: Path, manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run)
    assert kinesics("audit", ".", "--data", manifest, "--out", tmp_path / "a", "--top", 2).code == 0
    assert f"<title>Audit of {run.name}</title>" in (tmp_path / "a" / "gallery.html").read_text()


def test_what_is_refused(kinesics: Kinesics, run: Path, faces: Path, manifest: Path, tmp_path: Path) -> None:
    assert "no trained model" in kinesics("audit", tmp_path).err
    assert "--folds must be 0, or 2 or more; got 1" in kinesics("audit", run, "--folds", 1).err
    assert "--propose-above must be in [0, 1]" in kinesics("audit", run, "--propose-above", 2).err
    other = tmp_path / "other.csv"
    lines = manifest.read_text().splitlines()
    cells = lines[1].split(",")
    cells[0], lines[1] = f"{manifest.parent}/{cells[0]}", ""
    other.write_text("\n".join([lines[0], ",".join(cells)]) + "\n")
    answer = kinesics("audit", run, "--data", other, "--out", tmp_path / "a")
    assert answer.code == 2 and "the training samples of the manifest are not those of" in answer.err
    decisions = tmp_path / "d.csv"
    decisions.write_text("path,decision\nnowhere.png,drop\n")
    answer = kinesics("data", "apply-review", manifest, decisions, tmp_path / "out.csv")
    assert answer.code == 2 and "line 2" in answer.err and not (tmp_path / "out.csv").exists()
    assert "is the manifest itself" in kinesics("data", "apply-review", manifest, decisions, manifest).err
    decisions.write_text(f"path,decision\n{lines[2].split(',')[0]},drop\n")
    before = decisions.read_bytes()
    answer = kinesics("data", "apply-review", manifest, decisions, decisions)
    assert answer.code == 2 and "would be lost" in answer.err and decisions.read_bytes() == before
    answer = kinesics("audit", run, "--data", manifest, "--out", other)
    assert answer.code == 2 and "can't make the folder" in answer.err


def test_steering_data_and_damaged_results(kinesics: Kinesics, run: Path, manifest: Path, tmp_path: Path) -> None:
    lines = [f"{line.split(',')[0]},0.5,train" for line in manifest.read_text().splitlines()[1:]]
    roads = manifest.parent / "roads.csv"
    roads.write_text("\n".join(["path,target,split", *lines]) + "\n")
    answer = kinesics("audit", run, "--data", roads, "--out", tmp_path / "a")
    assert answer.code == 2 and "has no labels to audit" in answer.err
    out = tmp_path / "b"
    out.mkdir()
    for content in ('{"settings": 5}', '{"settings": {"folds": "x"}}', '{"settings": {"folds": null}}'):
        (out / "audit.json").write_text(content)
        assert kinesics("audit", run, "--data", manifest, "--out", out).code == 0, content
    (out / "gallery.html").write_bytes(b"\xff\xfe")
    answer = kinesics("audit", run, "--data", manifest, "--out", out, "--review")
    assert answer.code == 2 and "gallery.html can't be read" in answer.err
