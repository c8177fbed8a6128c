"""kinesics compare on drawn faces: what a study leaves behind, going on, failing cells, changed definitions."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy import stats

from kinesics.errors import UserError
from kinesics.studies.compare import execution, worker
from kinesics.studies.compare.execution import Job

STUDY: dict[str, Any] = {
    "title": "Drawn faces",
    "text": "Which is better?",
    "seeds": [0, 1],
    "common": {"input": {"size": 32}, "fit": {"batch_size": 8, "precision": "fp32", "threads": 1}},
    "methods": {
        "plain": {"system": "cross_entropy", "text": "plain <loss>"},
        "peers": {
            "system": "cross_entropy",
            "federate": {"silos": {"by": "dirichlet", "n": 3}, "federation": {"rounds": 2, "evaluate_every": 1}},
        },
    },
    "conditions": {"flip0": {"n_train": 24}, "flip30": {"n_train": 24, "noise": {"share": 0.3}}},
    "schedules": {"short": {"fit.epochs": 1}},
}
CELLS = [f"{c}-{m}-short-{s}" for s in (0, 1) for c in STUDY["conditions"] for m in STUDY["methods"]]


def written(folder: Path, **changes: Any) -> Path:
    """A study file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "drawn.yaml"
    path.write_text(yaml.safe_dump({**STUDY, **changes}, sort_keys=False))
    return path


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Cells are run in this process, which has imported everything; their names in order."""
    return inline(monkeypatch)


def inline(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Run cells in this process and without reports of their own, which cost more than these trainings."""
    names: list[str] = []
    monkeypatch.setattr("kinesics.engine.session.write_report", lambda *_: None)
    monkeypatch.setattr("kinesics.federated.report.write_report", lambda *_: None)

    def run(job: Job, threads: int, running: execution.Processes) -> int:
        names.append(job.cell.name)
        execution.write_config(job.run, job.recipe)
        try:
            worker.run_cell("federate" if hasattr(job.recipe, "federation") else "train", job.run.folder)
        except UserError as error:
            job.log_file.write_text(f"error: {error}\n")
            return 2
        return 0

    monkeypatch.setattr(execution, "_run", run)
    return names


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, faces: Path) -> Path:
    """The folder of the whole study, not to be changed."""
    from kinesics.cli import main

    folder = tmp_path_factory.mktemp("study") / "out"
    with pytest.MonkeyPatch.context() as patch:
        names = inline(patch)
        assert main(["compare", str(written(folder)), "--data", str(faces), "--out", str(folder)]) == 0
    assert names == CELLS
    return folder


@pytest.fixture
def copy(study: Path, tmp_path: Path) -> Path:
    """A copy of the study, to go on with."""
    return Path(shutil.copytree(study, tmp_path / "copy"))


def test_what_it_leaves_behind(study: Path) -> None:
    rows = pd.read_csv(study / "results.csv")
    assert len(rows) == 8 and list(rows.columns[:4]) == ["condition", "method", "schedule", "seed"]
    assert {"table.csv", "table.md", "report.html", "noise.png", "noise.svg"} <= {p.name for p in study.iterdir()}
    for _, row in rows.iterrows():
        name = "-".join(str(row[k]) for k in ("condition", "method", "schedule", "seed"))
        run = json.loads((study / "runs" / name / "run.json").read_text())
        judged = run.get("selected", run["last"])["test"]
        assert row["accuracy_selected"] == pytest.approx(judged["accuracy"], abs=1e-6)
        assert row["kl_last"] == pytest.approx(run["last"]["test"]["kl_calibrated"], abs=1e-6)
        assert row["n_train"] == 24 and row["noise_share"] == (0.3 if row["condition"] == "flip30" else 0.0)
        machine = run["environment"]["machine"]
        assert (row["machine"], row["precision"]) == (machine["gpu"] or machine["processor"], run["precision"])
    page = (study / "report.html").read_text()
    assert "of manifest.csv: 24 training, " in page and "30 % symmetric flips" in page
    assert "Drawn faces" in page and "plain &lt;loss&gt;" in page and "<script" not in page


def test_doubt_is_judged_by_the_known_truth(study: Path) -> None:
    """AUROC by counting pairs of a wrong and a right label."""
    rows = pd.read_csv(study / "results.csv").set_index(["condition", "method", "seed"])
    assert np.isnan(rows.loc[("flip0", "plain", 0), "auroc_label_doubt"])
    samples = pd.read_csv(study / "runs" / "flip30-plain-short-0" / "samples.csv")
    manifest = pd.read_csv(study / "manifests" / "flip30-0.csv").set_index("path").loc[samples["path"]]
    wrong = (manifest["true_label"] != samples["label"].to_numpy()).to_numpy()
    assert wrong.sum() == round(0.3 * 24)
    doubt = samples["label_doubt"].to_numpy()
    pairs = doubt[wrong][:, None] - doubt[~wrong]
    wanted = ((pairs > 0) + 0.5 * (pairs == 0)).mean()
    assert rows.loc[("flip30", "plain", 0), "auroc_label_doubt"] == pytest.approx(wanted, abs=1e-6)


def test_the_table_by_hand(study: Path) -> None:
    rows = pd.read_csv(study / "results.csv")
    table = pd.read_csv(study / "table.csv").set_index(["condition", "method"])
    own = rows[(rows["condition"] == "flip30") & (rows["method"] == "peers")].sort_values("seed")["kl_selected"]
    base = rows[(rows["condition"] == "flip30") & (rows["method"] == "plain")].sort_values("seed")["kl_selected"]
    row = table.loc[("flip30", "peers")]
    assert row["kl_selected"] == pytest.approx(own.mean()) and row["seeds"] == 2
    assert row["kl_selected_se"] == pytest.approx(own.std() / 2**0.5)
    assert row["kl_selected_difference"] == pytest.approx((own.to_numpy() - base.to_numpy()).mean())
    assert row["kl_selected_p"] == pytest.approx(stats.ttest_rel(own, base).pvalue, rel=1e-6)
    right = {}
    for method in ("peers", "plain"):
        both = []
        for seed in (0, 1):
            answers = pd.read_csv(study / "runs" / f"flip30-{method}-short-{seed}" / "predictions.csv")
            answers = answers[answers["split"] == "test"]
            both.append((answers["label"] == answers["predicted"]).to_numpy())
        right[method] = np.concatenate(both)
    only, other = (right["peers"] & ~right["plain"]).sum(), (~right["peers"] & right["plain"]).sum()
    wanted = stats.binomtest(only, only + other).pvalue if only + other else 1.0
    assert row["mcnemar_p"] == pytest.approx(wanted, rel=1e-6)
    assert row["mcnemar_p_holm"] >= row["mcnemar_p"]


def test_a_finished_study_runs_nothing_and_writes_the_same(
    copy: Path, faces: Path, ran: list[str], kinesics: Callable[..., Any]
) -> None:
    before = {name: (copy / name).read_bytes() for name in ("results.csv", "table.csv", "table.md")}
    answer = kinesics("compare", copy / "drawn.yaml", "--data", faces, "--out", copy)
    assert answer.code == 0 and ran == []
    assert "peers" in answer.out and "Holm" in answer.out
    for name, content in before.items():
        assert (copy / name).read_bytes() == content
    shutil.rmtree(copy / "manifests")
    answer = kinesics("compare", copy / "drawn.yaml", "--data", faces, "--out", copy)
    assert answer.code == 0 and ran == [], "manifests that are made again are the same"
    assert len(list((copy / "manifests").glob("*.csv"))) == 4


def test_a_study_can_be_moved(
    copy: Path, faces: Path, tmp_path: Path, ran: list[str], kinesics: Callable[..., Any]
) -> None:
    """Derived manifests then name the same images by other paths."""
    before = pd.read_csv(copy / "manifests" / "flip0-0.csv")["path"][0]
    moved = tmp_path / "some" / "where" / "else"
    moved.parent.mkdir(parents=True)
    copy.rename(moved)
    answer = kinesics("compare", moved / "drawn.yaml", "--data", faces, "--out", moved)
    assert answer.code == 0 and ran == [], answer.err
    assert pd.read_csv(moved / "manifests" / "flip0-0.csv")["path"][0] == f"../../{before}"


def test_lost_runs_keep_their_rows_unless_fresh(
    copy: Path, faces: Path, ran: list[str], kinesics: Callable[..., Any]
) -> None:
    before = (copy / "results.csv").read_bytes()
    for name in CELLS[1:]:
        shutil.rmtree(copy / "runs" / name)
    words = ("compare", copy / "drawn.yaml", "--data", faces, "--out", copy)
    listed = kinesics(*words, "--dry-run")
    assert listed.out.count("recorded") == 7 and "0 to run" in listed.out
    assert kinesics(*words).code == 0 and ran == []
    assert (copy / "results.csv").read_bytes() == before
    answer = kinesics(*words, "--fresh", "--only", "condition=flip0", "seed=0")
    assert answer.code == 0 and ran == ["flip0-peers-short-0"]
    assert len(pd.read_csv(copy / "results.csv")) == 8, "rows of cells that were not chosen stay"
    ran.clear()
    answer = kinesics(*words, "--fresh", "--dry-run")
    assert "6 to run" in answer.out


def test_a_row_is_of_the_data_that_it_was_made_from(
    copy: Path, faces: Path, ran: list[str], kinesics: Callable[..., Any], tmp_path: Path
) -> None:
    """Run directories are gone, as where only results.csv was kept; a training label is corrected."""
    rows = pd.read_csv(copy / "results.csv", dtype=str)
    assert rows["data"].str.fullmatch("[0-9a-f]{12}").all() and rows["data"].nunique() == 4
    shutil.rmtree(copy / "runs")
    moved = tmp_path / "elsewhere"
    shutil.copytree(faces.parent, moved)
    words = ("compare", copy / "drawn.yaml", "--data", moved / faces.name, "--out", copy)
    assert kinesics(*words).code == 0 and ran == [], "the same rows, wherever they lie"
    table = pd.read_csv(moved / faces.name, dtype=str, keep_default_na=False)
    first = table.index[table["split"] == "test"][0]
    table.loc[first, "label"] = next(name for name in table["label"] if name != table.loc[first, "label"])
    table.to_csv(moved / faces.name, index=False)
    answer = kinesics(*words)
    assert answer.code == 2 and "made from other data than the manifest holds now" in answer.err and ran == []
    rows.drop(columns="data").to_csv(copy / "results.csv", index=False)
    assert kinesics(*words).code == 0 and ran == [], "rows from before they told it"


def test_a_study_without_test_rows_says_so(
    faces: Path, tmp_path: Path, ran: list[str], kinesics: Callable[..., Any]
) -> None:
    folder = tmp_path / "faces"
    shutil.copytree(faces.parent, folder)
    table = pd.read_csv(folder / faces.name, dtype=str, keep_default_na=False)
    table[table["split"] != "test"].to_csv(folder / faces.name, index=False)
    path = written(tmp_path, methods={"a": CROSS_ENTROPY}, conditions={"c": {"n_train": 24}}, seeds=[0])
    answer = kinesics("compare", path, "--data", folder / faces.name, "--out", tmp_path / "out")
    assert answer.code == 0 and "has no rows in split test" in answer.err
    assert "judged on the validation rows" in (tmp_path / "out" / "table.md").read_text()


def test_some_cells_alone_leave_the_table_whole(
    copy: Path, faces: Path, ran: list[str], kinesics: Callable[..., Any]
) -> None:
    """Its tests, too, of cells that were not chosen; the page says what was done to their manifests."""
    before = {name: (copy / name).read_bytes() for name in ("results.csv", "table.csv", "table.md")}
    words = ("compare", copy / "drawn.yaml", "--data", faces, "--out", copy, "--only", "condition=flip0", "seed=1")
    for extra in ((), ("--fresh",)):
        assert kinesics(*words, *extra).code == 0 and ran == []
        for name, content in before.items():
            assert (copy / name).read_bytes() == content, (name, extra)
    assert "30 % symmetric flips" in (copy / "report.html").read_text()


def test_rows_of_other_definitions_and_seeds_are_not_in_the_table(
    copy: Path, faces: Path, ran: list[str], kinesics: Callable[..., Any]
) -> None:
    """flip30 is made of other flips now, and seed 1 is no longer wanted; its rows stay in the file."""
    conditions = {**STUDY["conditions"], "flip30": {"n_train": 24, "noise": {"share": 0.4}}}
    path = written(copy, conditions=conditions, seeds=[0])
    answer = kinesics("compare", path, "--data", faces, "--out", copy, "--only", "condition=flip0")
    assert answer.code == 0 and ran == []
    assert "another definition of the cell made the row: flip30-plain-short-0, flip30-peers-short-0" in answer.err
    table = pd.read_csv(copy / "table.csv")
    assert set(table["condition"]) == {"flip0"} and set(table["seeds"]) == {1}
    rows = pd.read_csv(copy / "results.csv").set_index(["condition", "method", "seed"])
    assert table["kl_last"].tolist() == [rows.loc[("flip0", m, 0), "kl_last"] for m in ("plain", "peers")]
    assert len(rows) == 8


def test_samples_are_tested_by_the_weights_that_were_kept(
    faces: Path, tmp_path: Path, ran: list[str], kinesics: Callable[..., Any]
) -> None:
    """predictions.csv holds the last weights' answers: the table says so, and its differences are those, too."""
    methods = {"a": CROSS_ENTROPY, "b": {**CROSS_ENTROPY, "settings": {"fit.lr": 0.02}}}
    common = {**STUDY["common"], "fit": {**STUDY["common"]["fit"], "keep": "last"}}
    fields = {"conditions": {"c": {"n_train": 24}}, "schedules": {"s": {"fit.epochs": 3}}, "seeds": [0]}
    out = tmp_path / "out"
    path = written(tmp_path, methods=methods, common=common, **fields)
    assert kinesics("compare", path, "--data", faces, "--out", out).code == 0
    table = pd.read_csv(out / "table.csv").set_index("method")
    wanted = table["accuracy_last"]["b"] - table["accuracy_last"]["a"]
    assert table["accuracy_last_difference"]["b"] == pytest.approx(wanted, abs=1e-6)
    assert table["bootstrap_low"]["b"] <= wanted <= table["bootstrap_high"]["b"]
    assert "last weights" in (out / "table.md").read_text()
    methods["b"]["settings"]["fit.keep"] = "selected"
    path = written(tmp_path / "mixed", methods=methods, common=common, **fields)
    assert kinesics("compare", path, "--data", faces, "--out", tmp_path / "mixed" / "out").code == 0
    mixed = pd.read_csv(tmp_path / "mixed" / "out" / "table.csv")
    assert "accuracy_selected_difference" in mixed and "mcnemar_p" not in mixed


def test_other_threads_are_no_other_study(
    copy: Path, faces: Path, ran: list[str], kinesics: Callable[..., Any]
) -> None:
    path = written(copy, common={**STUDY["common"], "fit": {**STUDY["common"]["fit"], "threads": 2}})
    shutil.rmtree(copy / "runs" / CELLS[0])
    answer = kinesics("compare", path, "--data", faces, "--out", copy)
    assert answer.code == 0 and ran == [], answer.err


def test_by_way_of_a_link(faces: Path, tmp_path: Path, ran: list[str], kinesics: Callable[..., Any]) -> None:
    """The study's folder is a link to a place elsewhere, so that `..` in a derived manifest leads out of that."""
    (tmp_path / "far" / "away" / "there").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far" / "away" / "there")
    path = written(tmp_path, methods={"plain": CROSS_ENTROPY}, conditions={"own": OWN}, seeds=[0])
    answer = kinesics("compare", path, "--data", faces, "--out", tmp_path / "link")
    assert answer.code == 0 and ran == ["own-plain-short-0"], answer.err


def test_nothing_to_judge_by_is_noticed_first(
    faces: Path, tmp_path: Path, ran: list[str], kinesics: Callable[..., Any]
) -> None:
    table = pd.read_csv(faces)
    path = faces.with_name("train_only.csv")
    table[table["split"] == "train"].to_csv(path, index=False)
    common = {**STUDY["common"], "input": {"size": 32, "valid_fraction": 0}}
    study = written(tmp_path, common=common, conditions={"own": OWN})
    answer = kinesics("compare", study, "--data", path, "--out", tmp_path / "out")
    assert answer.code == 2 and "own-0.csv has no rows in split test or valid" in answer.err and ran == []
    train = table[table["split"] == "train"].drop(columns="group")
    for few_rows in (train.head(9), train.groupby("label").head(5)):  # none is held out; no class has enough for one
        few_rows.to_csv(path, index=False)
        few = written(tmp_path / "few", conditions={"few": {}})
        answer = kinesics("compare", few, "--data", path, "--out", tmp_path / "out")
        assert answer.code == 2 and "has no rows in split test or valid" in answer.err and ran == []
    table[table["split"] == "test"].to_csv(path, index=False)
    for condition in ({}, {"test_label_column": "label"}):
        only_test = written(tmp_path / "test", conditions={"c": condition})
        answer = kinesics("compare", only_test, "--data", path, "--out", tmp_path / "out")
        assert answer.code == 2 and "has no training rows" in answer.err and ran == []


def test_what_was_not_chosen_does_not_keep_a_table_from_being_made(
    copy: Path, faces: Path, ran: list[str], kinesics: Callable[..., Any]
) -> None:
    """A method with a bad setting, and a finished run whose answers are gone."""
    methods = {**STUDY["methods"], "bad": {"system": "cross_entropy", "settings": {"fit.lr": -1}}}
    (copy / "runs" / "flip30-peers-short-1" / "predictions.csv").unlink()
    (copy / "table.csv").unlink()
    words = ("compare", written(copy, methods=methods), "--data", faces, "--out", copy)
    answer = kinesics(*words, "--only", "method=plain", "seed=0")
    assert answer.code == 0 and ran == [], answer.err
    assert "no tests over samples for flip30-peers-short-1" in answer.err
    table = pd.read_csv(copy / "table.csv").set_index(["condition", "method"])
    assert len(table) == 4 and np.isfinite(table.loc[("flip30", "peers"), "mcnemar_p"])


def test_answers_that_were_cut_off_are_not_tested_by(
    copy: Path, faces: Path, ran: list[str], kinesics: Callable[..., Any]
) -> None:
    path = copy / "runs" / "flip30-peers-short-1" / "predictions.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))
    words = ("compare", copy / "drawn.yaml", "--data", faces, "--out", copy)
    answer = kinesics(*words, "--only", "method=plain")
    assert (
        answer.code == 0
        and f"{path} holds answers to {len(lines) - 2} samples; the run judged {len(lines) - 1}"
        in (" ".join(answer.err.split()))
    )
    answer = kinesics(*words)
    assert answer.code == 2 and "holds answers to" in answer.err and "to run the cell anew" in answer.err


def test_what_no_cell_could_run_with_is_told_before_the_first(
    faces: Path, tmp_path: Path, ran: list[str], kinesics: Callable[..., Any]
) -> None:
    """Images that are not there, and a device that is not."""
    folder, out = tmp_path / "faces", tmp_path / "out"
    shutil.copytree(faces.parent, folder)
    names = pd.read_csv(folder / faces.name, dtype=str, keep_default_na=False)["path"].tolist()
    for name in names[2:4]:
        (folder / name).unlink()
    fields = {"methods": {"a": CROSS_ENTROPY}, "seeds": [0], "conditions": {"c": {}}}
    words = ("--data", folder / faces.name, "--out", out)
    answer = kinesics("compare", written(tmp_path, **fields), *words)
    assert answer.code == 2 and ran == [] and not (out / "runs").exists()
    assert f"lines 4, 5: 2 of {len(names)} images are missing, {folder / names[2]} is the first" in answer.err
    patient = {**STUDY["common"], "input": {"size": 32, "on_bad_image": "skip"}}
    assert kinesics("compare", written(tmp_path, **fields, common=patient), *words).code == 0
    assert ran == ["c-a-short-0"]
    fields["common"] = {**STUDY["common"], "fit": {**STUDY["common"]["fit"], "device": "cuda:77"}}
    answer = kinesics("compare", written(tmp_path, **fields), "--data", faces, "--out", tmp_path / "other")
    assert answer.code == 2 and "cell c-a-short-0: --fit.device cuda:77" in answer.err and len(ran) == 1


def test_rows_whose_images_are_gone_still_make_a_table(
    copy: Path, faces: Path, tmp_path: Path, ran: list[str], kinesics: Callable[..., Any]
) -> None:
    """Only results.csv and the manifest were kept."""
    shutil.rmtree(copy / "runs")
    shutil.copy(faces, tmp_path / faces.name)
    answer = kinesics("compare", copy / "drawn.yaml", "--data", tmp_path / faces.name, "--out", copy)
    assert answer.code == 0 and ran == [], answer.err


def test_processes_that_just_begin_are_ended_too(tmp_path: Path) -> None:
    processes, code = execution.Processes(), list[int]()
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    thread = threading.Thread(target=lambda: code.append(processes.run(command, tmp_path / "log", dict(os.environ))))
    thread.start()
    while not (tmp_path / "log").exists():
        time.sleep(0.001)
    processes.kill()
    assert processes.run(command, tmp_path / "log", dict(os.environ)) < 0
    thread.join(timeout=30)
    assert not thread.is_alive() and code[0] < 0


def test_a_changed_definition_is_noticed(copy: Path, faces: Path, ran: list[str], kinesics: Callable[..., Any]) -> None:
    words = ("--data", faces, "--out", copy)
    other = written(copy, schedules={"short": {"fit.epochs": 2}})
    answer = kinesics("compare", other, *words)
    assert answer.code == 2 and "another definition" in answer.err
    answer = kinesics("compare", other, *words, "--fresh")
    assert answer.code == 2 and "flip0-plain-short-0 was finished" in answer.err and "fit.epochs" in answer.err
    table = pd.read_csv(faces)
    place = table.index[table["split"] == "test"][0]
    table.loc[place, "label"] = "fear" if table["label"][place] != "fear" else "anger"
    changed = faces.with_name("changed.csv")
    table.to_csv(changed, index=False)
    answer = kinesics("compare", written(copy), "--data", changed, "--out", copy)
    assert answer.code == 2 and "changed: data" in answer.err and ran == []


def test_a_failed_cell_is_named_and_the_others_go_on(
    faces: Path, tmp_path: Path, ran: list[str], kinesics: Callable[..., Any]
) -> None:
    methods = {"weights": {"system": "cross_entropy"}, "plain": {"system": "cross_entropy"}}
    methods["weights"] = {"system": "cross_entropy", "settings": {"weights": str(tmp_path / "none.safetensors")}}
    path = written(tmp_path, methods=methods, conditions={"as_it_is": {}}, seeds=[0])
    answer = kinesics("compare", path, "--data", faces, "--out", tmp_path / "out")
    assert answer.code == 1 and ran == ["as_it_is-weights-short-0", "as_it_is-plain-short-0"]
    assert "failed: as_it_is-weights-short-0: error:" in answer.out and "none.safetensors" in answer.out
    assert list(pd.read_csv(tmp_path / "out" / "results.csv")["method"]) == ["plain"]
    assert (tmp_path / "out" / "conditions_accuracy_selected.png").is_file()


def test_results_grow_with_every_cell(
    faces: Path, tmp_path: Path, ran: list[str], monkeypatch: pytest.MonkeyPatch, kinesics: Callable[..., Any]
) -> None:
    """A study that breaks off in its second cell has written down the first."""
    path = written(tmp_path, methods={"plain": {"system": "cross_entropy"}}, conditions={"as_it_is": {}})
    out, first = tmp_path / "out", execution._run

    def run(job: Job, *others: Any) -> int:
        if not ran:
            return first(job, *others)
        deadline = time.monotonic() + 60
        while not (out / "results.csv").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        raise KeyboardInterrupt

    monkeypatch.setattr(execution, "_run", run)
    assert kinesics("compare", path, "--data", faces, "--out", out).code == 130
    assert list(pd.read_csv(out / "results.csv")["seed"]) == [0]
    assert not (out / "table.csv").exists()


def test_trained_on_one_set_and_judged_by_another(
    faces: Path, tmp_path: Path, ran: list[str], kinesics: Callable[..., Any]
) -> None:
    """The other set lacks two classes and spells one otherwise; the page says what was compared."""
    table = pd.read_csv(faces)
    table = table[~table["label"].isin(["fear", "disgust"])]
    table = table.drop(columns=[name for name in table if name.startswith("p_")])
    table["label"] = table["label"].replace("happiness", "Happy")
    other = faces.with_name("other_set.csv")
    table.to_csv(other, index=False)
    conditions = {"cross": {"data": "a", "test_data": "b"}}
    path = written(tmp_path, data={"a": "x.csv", "b": "y.csv"}, conditions=conditions, seeds=[0])
    words = ("--data", f"a={faces}", "--data", f"b={other}", "--out", tmp_path / "out", "--only", "method=plain")
    answer = kinesics("compare", path, *words)
    assert answer.code == 0 and ran == ["cross-plain-short-0"], answer.err
    answers = pd.read_csv(tmp_path / "out" / "runs" / ran[0] / "predictions.csv")
    test = answers[answers["split"] == "test"]
    wanted = table[table["split"] == "test"]["label"].replace("Happy", "happiness")
    assert list(test["label"]) == list(wanted)
    assert not {"p_fear", "p_disgust"} & set(answers)
    assert "left out: fear, disgust" in (tmp_path / "out" / "report.html").read_text()


def crossed(folder: Path, faces: Path, conditions: dict[str, Any], **changes: Any) -> tuple[Any, ...]:
    """A study of LDLVA, whose training has parts of its own (teachers, a number for each sample), and its command."""
    table = pd.read_csv(faces)
    table["second"] = np.roll(table["label"], 1)
    table = table.sample(frac=1, random_state=0)  # test rows lie between the others
    other = faces.with_name("second.csv")
    table.to_csv(other, index=False)
    methods = {"ldlva": {"settings": {"task.teacher_epochs": 1}}}
    path = written(folder, conditions=conditions, **{"methods": methods, "seeds": [0], **changes})
    return "compare", path, "--data", other, "--out", folder / "out"


OWN = {"n_train": 24}
CROSS_ENTROPY = {"system": "cross_entropy"}
CROSS = {"n_train": 24, "test_label_column": "second"}


def test_conditions_that_differ_in_test_rows_share_a_training(
    faces: Path, tmp_path: Path, ran: list[str], kinesics: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cell that is only judged says what it would have said after a training of its own."""
    words = crossed(tmp_path / "both", faces, {"own": OWN, "cross": CROSS, "fewer": {**CROSS, "n_train": 16}})
    listed = kinesics(*words, "--dry-run")
    assert listed.out.count("trained in") == 1
    steps: list[str] = []
    monkeypatch.setattr(
        "kinesics.systems.ldlva.task.LDLVA.training_step", counted(steps, "kinesics.systems.ldlva.task")
    )
    assert kinesics(*words).code == 0 and ran == [f"{name}-ldlva-short-0" for name in ("own", "cross", "fewer")]
    assert len(steps) == 3 + 2  # 24 and 16 samples in batches of 8; none for the cell between
    assert kinesics(*crossed(tmp_path / "alone", faces, {"cross": CROSS})).code == 0
    rows = pd.read_csv(tmp_path / "both" / "out" / "results.csv").set_index("condition")
    alone = pd.read_csv(tmp_path / "alone" / "out" / "results.csv").set_index("condition")
    assert rows["trained_in"].fillna("").to_dict() == {"own": "", "cross": "own-ldlva-short-0", "fewer": ""}
    columns = [name for name in alone if name not in ("seconds", "commit")]
    pd.testing.assert_series_equal(rows.loc["cross", columns], alone.loc["cross", columns])
    for name in ("predictions.csv", "samples.csv", "metrics.csv", "model.safetensors"):
        found, wanted = (
            (tmp_path / which / "out" / "runs" / "cross-ldlva-short-0" / name).read_bytes()
            for which in ("both", "alone")
        )
        assert found == wanted, name
    assert rows.loc["own", "nll_last"] != rows.loc["cross", "nll_last"]


def test_columns_that_nothing_is_learned_from_part_no_trainings(
    faces: Path, tmp_path: Path, ran: list[str], kinesics: Callable[..., Any]
) -> None:
    """The manifest as it is, beside one derived of it with other test labels and the true ones in a column more."""
    conditions = {"own": {}, "cross": {"test_label_column": "second"}, "known": {"truth_column": "second"}}
    words = crossed(tmp_path, faces, conditions, methods={"a": CROSS_ENTROPY})
    assert kinesics(*words).code == 0
    rows = pd.read_csv(tmp_path / "out" / "results.csv").set_index("condition")
    assert list(rows["trained_in"].fillna("")) == ["", "own-a-short-0", "own-a-short-0"]
    assert np.isfinite(rows.loc["known", "auroc_label_doubt"]) and np.isnan(rows.loc["own", "auroc_label_doubt"])
    assert rows.loc["known", "accuracy_last"] == rows.loc["own", "accuracy_last"]


def counted(steps: list[str], module: str) -> Callable[..., Any]:
    """`training_step` of a module's LDLVA, which notes every call."""
    import importlib

    step = importlib.import_module(module).LDLVA.training_step

    def noted(self: Any, batch: Any) -> Any:
        steps.append("")
        return step(self, batch)

    return noted


def test_a_training_that_can_not_be_had_is_made(
    faces: Path, tmp_path: Path, ran: list[str], kinesics: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed leader's training is not taken over, nor one whose checkpoints are gone."""
    first = execution._run

    def run(job: Job, *others: Any) -> int:
        if not ran:
            ran.append(job.cell.name)
            job.log_file.parent.mkdir(parents=True)
            job.log_file.write_text("error: no luck\n")
            return 2
        return first(job, *others)

    monkeypatch.setattr(execution, "_run", run)
    words = crossed(tmp_path, faces, {"own": OWN, "cross": CROSS})
    answer = kinesics(*words, "--jobs", "2")
    assert answer.code == 1 and "own-ldlva-short-0: error: no luck" in answer.out
    results = tmp_path / "out" / "results.csv"
    assert "trained_in" not in pd.read_csv(results) and ran == ["own-ldlva-short-0", "cross-ldlva-short-0"]
    assert "trained in cross-ldlva-short-0" in kinesics(*words, "--dry-run").out
    begun = tmp_path / "out" / "runs" / "own-ldlva-short-0" / "checkpoints"
    shutil.copytree(tmp_path / "out" / "runs" / "cross-ldlva-short-0" / "checkpoints", begun)
    state = begun.with_name("run.json")
    state.write_text(state.parents[1].joinpath("cross-ldlva-short-0", "run.json").read_text().replace("finished", "on"))
    assert "begun," not in kinesics(*words, "--dry-run").out  # it goes on with its own
    state.unlink()
    assert "trained in" in kinesics(*words, "--dry-run").out  # nothing tells what those are of
    shutil.rmtree(begun)
    shutil.rmtree(tmp_path / "out" / "runs" / "cross-ldlva-short-0" / "checkpoints")
    assert "trained in" not in kinesics(*words, "--dry-run").out
    assert kinesics(*words).code == 0
    assert "trained_in" not in pd.read_csv(results) and len(pd.read_csv(results)) == 2


@pytest.mark.parametrize("own", [True, False], ids=["with the other cell", "alone"])
def test_a_training_taken_over_long_ago_is_not_gone_on_with(
    own: bool,
    faces: Path,
    tmp_path: Path,
    ran: list[str],
    kinesics: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A study is stopped before the cell that is only judged begins; then the learning rate is changed."""
    first = execution._run

    def run(job: Job, *others: Any) -> int:
        if job.cell.condition == "cross":
            raise KeyboardInterrupt
        return first(job, *others)

    def words(folder: Path, lr: float) -> tuple[Any, ...]:
        common = {"input": {"size": 32}, "fit": {"batch_size": 8, "precision": "fp32", "threads": 1, "lr": lr}}
        return crossed(folder, faces, {"own": OWN, "cross": CROSS}, common=common, methods={"a": CROSS_ENTROPY})

    with monkeypatch.context() as patch:
        patch.setattr(execution, "_run", run)
        assert kinesics(*words(tmp_path / "changed", 0.003)).code == 130
    runs = tmp_path / "changed" / "out" / "runs"
    assert list((runs / "cross-a-short-0").iterdir()) == [runs / "cross-a-short-0" / "checkpoints"]
    if own:  # the definition is the same: it is only judged
        kept = shutil.copytree(runs.parent, tmp_path / "same" / "out") / "results.csv"
        assert kinesics(*words(tmp_path / "same", 0.003)).code == 0
        assert list(pd.read_csv(kept)["trained_in"].fillna("")) == ["", "own-a-short-0"]
    shutil.rmtree(runs / "own-a-short-0")
    only = () if own else ("--only", "condition=cross")
    for folder in ("changed", "new"):
        answer = kinesics(*words(tmp_path / folder, 0.03), "--fresh", *only)
        assert answer.code == 0, answer.err
    found, wanted = (
        (tmp_path / folder / "out" / "runs" / "cross-a-short-0" / "model.safetensors").read_bytes()
        for folder in ("changed", "new")
    )
    assert found == wanted


def test_a_dry_run_trains_nothing(faces: Path, tmp_path: Path, ran: list[str], kinesics: Callable[..., Any]) -> None:
    answer = kinesics("compare", written(tmp_path), "--data", faces, "--out", tmp_path / "out", "--dry-run")
    assert answer.code == 0 and "8 cells, 8 to run" in answer.out and ran == []
    assert not (tmp_path / "out" / "runs").exists() and not (tmp_path / "out" / "results.csv").exists()


@pytest.mark.parametrize(
    ("words", "changes", "said"),
    [
        ((), {}, "names no manifest"),
        (("--data", "none.csv"), {}, "no such manifest: none.csv"),
        (("--data", "{faces}", "--jobs", "0"), {}, "--jobs must be at least 1"),
        (("--data", "{faces}", "--only", "method"), {}, "expected WORD=NAME"),
        (("--data", "{faces}", "--only", "methods=plain"), {}, "did you mean method?"),
        (("--data", "{faces}", "--only", "method=plian"), {}, "did you mean plain?"),
        (("--data", "x={faces}"), {}, "expected NAME=MANIFEST"),
        (("--data", "{faces}"), {"methods": {"a": {"system": "cross_entopy"}}}, "did you mean cross_entropy"),
        (("--data", "{faces}"), {"methods": {"a": {"system": "ldlva", "preset": "papr"}}}, "did you mean paper?"),
        (("--data", "{faces}"), {"common": {"fit": {"epoch": 3}}}, "did you mean fit.epochs"),
        (("--data", "{faces}"), {"common": {"fit": {"epochs": 0}}, "schedules": {"s": {}}}, "--fit.epochs must be"),
        (
            ("--data", "{faces}"),
            {"common": {"fit": 5}},
            "fit must be settings by name; got 5",
        ),
        (("--data", "{faces}"), {"conditions": {"c": {"n_train": 900}}}, "n_train asks for 900"),
        (
            ("--data", "{faces}"),
            {"methods": {"a": {"system": "dronet"}}},
            "flip0-0.csv has nothing to learn: no column target",
        ),
    ],
)
def test_bad_input_is_answered_in_one_breath(
    words: tuple[str, ...],
    changes: dict[str, Any],
    said: str,
    faces: Path,
    tmp_path: Path,
    kinesics: Callable[..., Any],
) -> None:
    path = written(tmp_path, **changes)
    given = [word.replace("{faces}", str(faces)) for word in words]
    answer = kinesics("compare", path, "--out", tmp_path / "out", *given)
    assert answer.code == 2 and said in answer.err and "Traceback" not in answer.err
    assert not (tmp_path / "out" / "runs").exists()


def test_damaged_results_and_folders(
    copy: Path, faces: Path, tmp_path: Path, ran: list[str], kinesics: Callable[..., Any]
) -> None:
    study = written(tmp_path)
    results = tmp_path / "seeds.csv"
    for seed in ("x", "", "0.5"):
        results.write_text(f"condition,method,schedule,seed\nflip0,plain,short,{seed}\n")
        answer = kinesics("compare", study, "--data", faces, "--out", tmp_path / "out", "--results", results)
        assert answer.code == 2 and "a seed is no whole number" in answer.err, seed
    for where in (("--out", study), ("--out", tmp_path / "out", "--results", tmp_path)):
        answer = kinesics("compare", study, "--data", faces, *where)
        assert answer.code == 2 and "folder" in answer.err, where
    (copy / "runs" / CELLS[0] / "run.json").write_text('{"status": 5, "data": 3}')
    answer = kinesics("compare", study, "--data", faces, "--out", copy)
    assert answer.code == 2 and CELLS[0] in answer.err and ran == []


def test_a_changed_study_leaves_the_manifests_of_another(
    copy: Path, faces: Path, tmp_path: Path, ran: list[str], kinesics: Callable[..., Any]
) -> None:
    """Neither its dry run nor its start, which is refused, changes what the cells there are trained on."""
    before = {path: path.read_bytes() for path in (copy / "manifests").iterdir()}
    other = written(tmp_path, conditions={"flip30": {"n_train": 24, "noise": {"share": 0.6}}})
    for more in (("--dry-run", "--fresh"), ("--fresh",)):
        answer = kinesics("compare", other, "--data", faces, "--out", copy, *more)
        assert answer.code == 2 and "changed: data" in answer.err and ran == []
        assert {path: path.read_bytes() for path in (copy / "manifests").iterdir()} == before
    elsewhere = tmp_path / "elsewhere"
    answer = kinesics("compare", other, "--data", faces, "--out", elsewhere, "--dry-run")
    assert answer.code == 0 and not elsewhere.exists()


def test_a_cell_that_can_not_be_given_a_training_fails_alone(
    faces: Path, tmp_path: Path, ran: list[str], kinesics: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(execution.shutil, "copytree", full)
    conditions = {"own": OWN, "cross": CROSS, "fewer": {"n_train": 16}}
    answer = kinesics(*crossed(tmp_path, faces, conditions, methods={"a": CROSS_ENTROPY}))
    assert answer.code == 1 and ran == ["own-a-short-0", "fewer-a-short-0"]
    assert "failed: cross-a-short-0: error:" in answer.out and "No space left" in answer.out
    assert (tmp_path / "out" / "table.csv").exists()


def test_a_cell_is_told_of_by_what_it_says_now(tmp_path: Path) -> None:
    """Its log keeps what earlier starts said."""
    log = tmp_path / "cell.log"
    log.write_text("error: there is no such file\n")
    start = log.stat().st_size
    with log.open("a") as stream:
        stream.write("epoch 1\nRuntimeError: out of memory\n")
    assert execution._last_line(log, start) == "RuntimeError: out of memory"
    assert execution._last_line(log) == "error: there is no such file"


def test_two_studies_write_into_one_file(
    faces: Path, tmp_path: Path, ran: list[str], kinesics: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second study, in another folder, ends while the first one's cell is trained: both have their rows."""
    results, first = tmp_path / "all.csv", execution._run
    words = ("--data", faces, "--results", results)
    plain: dict[str, Any] = {"methods": {"plain": CROSS_ENTROPY}, "seeds": [0]}
    other = written(tmp_path / "b", conditions={"fewer": {"n_train": 16}}, **plain)

    def run(job: Job, *others: Any) -> int:
        if job.cell.condition == "own":
            assert kinesics("compare", other, "--out", tmp_path / "b" / "out", *words).code == 0
        return first(job, *others)

    monkeypatch.setattr(execution, "_run", run)
    one = written(tmp_path / "a", conditions={"own": OWN}, **plain)
    assert kinesics("compare", one, "--out", tmp_path / "a" / "out", *words).code == 0
    assert ran == ["fewer-plain-short-0", "own-plain-short-0"]
    assert sorted(pd.read_csv(results)["condition"]) == ["fewer", "own"]


def test_a_study_is_planned_when_no_other_is_at_work(
    faces: Path, tmp_path: Path, ran: list[str], kinesics: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another one wrote down until it left the folder is known to the plan."""
    from kinesics.studies.compare import study as compare

    plan, busy = compare.plan_study, []

    def planned(*others: Any, **named: Any) -> Any:
        try:
            with execution.only_one(tmp_path / "out"):
                pass
        except UserError as error:
            busy.append(str(error))
        return plan(*others, **named)

    monkeypatch.setattr(compare, "plan_study", planned)
    path = written(tmp_path, methods={"plain": CROSS_ENTROPY}, conditions={"own": OWN}, seeds=[0])
    assert kinesics("compare", path, "--data", faces, "--out", tmp_path / "out").code == 0
    assert len(busy) == 1 and "another kinesics compare is at work" in busy[0]


def test_a_lock_that_can_not_be_opened(faces: Path, tmp_path: Path, kinesics: Callable[..., Any]) -> None:
    (tmp_path / "out" / ".lock").mkdir(parents=True)
    answer = kinesics("compare", written(tmp_path), "--data", faces, "--out", tmp_path / "out")
    assert answer.code == 2 and "can't open the lock file" in answer.err


def running(folder: Path) -> list[int]:
    """Processes whose command line names the folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            content = path.read_bytes()
        except OSError:
            continue
        if str(folder).encode() in content:
            found.append(int(path.parent.name))
    return found


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks processes up in /proc")
def test_killed_a_study_goes_on(
    faces: Path, tmp_path: Path, started: Callable[..., Any], ran: list[str], kinesics: Callable[..., Any]
) -> None:
    """`kill -9` of the study ends its cell too; started again it goes on with it."""
    methods = {"plain": {"system": "cross_entropy"}}
    slow = {"long": {"fit.epochs": 12, "fit.checkpoint_every": 1}}
    path = written(tmp_path, methods=methods, conditions={"flip0": {"n_train": 24}}, seeds=[0], schedules=slow)
    out = tmp_path / "out"
    process = started("compare", path, "--data", faces, "--out", out)
    deadline = time.monotonic() + 300
    while not list(out.glob("runs/*/checkpoints/*.ckpt")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.poll() is None, process.communicate()
    locked = kinesics("compare", path, "--data", faces, "--out", out)
    assert locked.code == 2 and "another kinesics compare is at work" in locked.err and ran == []
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    while running(out) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert running(out) == []
    listed = kinesics("compare", path, "--data", faces, "--out", out, "--dry-run")
    assert "begun" in listed.out and "1 to run" in listed.out
    assert json.loads(next(out.glob("runs/*/run.json")).read_text())["status"] == "running"
    answer = kinesics("compare", path, "--data", faces, "--out", out)
    assert answer.code == 0 and ran == ["flip0-plain-long-0"]
    assert "resumed at" in answer.err
    assert list(pd.read_csv(out / "results.csv")["epochs"]) == [12]
