"""kinesics train: what it leaves, what it survives, and what it refuses."""

from __future__ import annotations

import json
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml

from kinesics.data.emotions import BASIC
from kinesics.engine import session
from kinesics.nn.resnet import resnet
from kinesics.nn.weights import read_state
from kinesics.systems.recipe import parse_recipe, read_recipe

FAST = ("--input.size", 32, "--fit.epochs", 1, "--fit.batch_size", 16, "--fit.precision", "fp32")

STILL = ("--fit.optimizer", "sgd", "--fit.momentum", 0, "--fit.lr", "1e-12", "--fit.ema", 0)
"""Settings under which weights stay where they started."""

EXACT = ("metrics.csv", "predictions.csv", "samples.csv", "model.safetensors", "model_last.safetensors", "model.json")
"""Files of a run that depend on nothing but the recipe and the data."""


@pytest.fixture(autouse=True)
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing the report takes longer than these trainings; the run that all share and the killed one have theirs."""
    monkeypatch.setattr(session, "write_report", lambda *_, **__: None)


def test_a_run_directory(run: Path, faces: Path) -> None:
    names = {path.name for path in run.iterdir()}
    assert [path.name for path in sorted((run / "checkpoints").iterdir())] == [
        "step-000000012.ckpt", "step-000000014.ckpt",
    ]  # fmt: skip
    assert names == {*EXACT, "model_last.json", "config.yaml", "run.json", "report.html", "checkpoints"}
    described = json.loads((run / "run.json").read_text())
    assert described["status"] == "finished" and described["system"] == "ldlva" and described["seed"] == 0
    assert described["classes"] == list(BASIC)
    assert described["data"] | {"manifest": str(faces), "train": 60, "valid": 20, "test": 20} == described["data"]
    assert len(described["data"]["fingerprint"]) == 64 and described["data"]["valid_from"] == "manifest"
    assert described["preprocessing"]["size"] == 32
    notes = described["notes"]
    assert 0.05 <= notes.pop("uncertainty_start") <= 0.5
    assert notes == {"valence_arousal": "teacher", "teacher": {"folds": 2, "epochs": 1, "relocates": True}}
    assert described["environment"]["packages"]["torch"] == torch.__version__
    assert "<html" in (run / "report.html").read_text()


def test_tables_of_a_run(run: Path, faces: Path) -> None:
    described = json.loads((run / "run.json").read_text())
    manifest = pd.read_csv(faces)
    predictions = pd.read_csv(run / "predictions.csv")
    assert list(predictions["path"]) == list(manifest["path"][manifest["split"] != "train"])
    shares = predictions[[f"p_{name}" for name in BASIC]].to_numpy()
    assert shares.sum(1) == pytest.approx(1)
    assert [BASIC[k] for k in shares.argmax(1)] == list(predictions["predicted"])
    for split, part in predictions.groupby("split"):
        right = (part["predicted"] == part["label"]).mean()  # anyone can compute the metrics again
        assert right == pytest.approx(described["selected"][split]["accuracy"])
    samples = pd.read_csv(run / "samples.csv")
    assert list(samples["path"]) == list(manifest["path"][manifest["split"] == "train"])
    assert samples["uncertainty"].between(0, 1).all() and samples["uncertainty"].nunique() > 1
    metrics = pd.read_csv(run / "metrics.csv")
    assert list(metrics["epoch"]) == [1, 2]
    chosen = metrics["valid/accuracy"].to_numpy().argmax()
    assert described["selected_epoch"] == chosen + 1
    assert described["selected"]["valid"]["accuracy"] == pytest.approx(metrics["valid/accuracy"][chosen])


def test_the_stored_recipe_is_the_one_that_ran(run: Path, faces: Path, flags: tuple[str, ...]) -> None:
    assert read_recipe(run / "config.yaml") == parse_recipe("ldlva", ["--data", str(faces), "--out", str(run), *flags])
    content = yaml.safe_load((run / "config.yaml").read_text())
    assert content["fit"]["momentum"] == 0.9 and content["task"]["k"] == 8  # complete: defaults are written out


def killed(started: Callable[..., Any], folder: Path, sign: str, words: tuple[object, ...]) -> float:
    """Start a training and `kill -9` it at a random moment after a file like `sign` has appeared in its folder."""
    process = started(*words)
    deadline = time.monotonic() + 300
    seen = False
    while not seen and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
        seen = any(folder.glob(sign))
    moment = random.uniform(0, 0.25)
    time.sleep(moment)
    process.kill()
    _, err = process.communicate()
    assert seen, err  # seen, not there: two later checkpoints may have replaced it since
    assert "Traceback" not in err
    return moment


def test_killed_at_random_moments_a_resumed_run_is_the_uninterrupted_one(
    run: Path,
    faces: Path,
    tmp_path: Path,
    command: Callable[..., Any],
    started: Callable[..., Any],
    flags: tuple[str, ...],
) -> None:
    """Killed while a teacher is trained, inside an epoch, and while the results are written."""
    folder = tmp_path / "run"
    begin = ("train", "ldlva", "--data", faces, "--out", folder, *flags)
    moments = [killed(started, folder, "checkpoints/prepare/teacher*/step-000000002.ckpt", begin)]
    moments += [killed(started, folder, "checkpoints/step-000000004.ckpt", (*begin, "--resume"))]
    moments += [killed(started, folder, "model_last.safetensors", ("train", "--resume", folder))]
    answer = command("train", "--resume", folder)
    assert answer.code == 0, answer.err
    different = [name for name in EXACT if (folder / name).read_bytes() != (run / name).read_bytes()]
    assert different == [], f"killed {moments} s after the signs"
    assert not list(folder.rglob("*.tmp"))
    assert json.loads((folder / "run.json").read_text())["status"] == "finished"


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    """A copy of the run, to go on with."""
    return Path(shutil.copytree(run, tmp_path / "copy"))


def test_a_finished_run_resumed_is_the_same(copy: Path, run: Path, kinesics: Callable[..., Any]) -> None:
    for name in EXACT:
        (copy / name).unlink()
    assert kinesics("train", "--resume", copy).code == 0
    assert [name for name in EXACT if (copy / name).read_bytes() != (run / name).read_bytes()] == []


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(
    copy: Path, run: Path, kinesics: Callable[..., Any]
) -> None:
    newest = max((copy / "checkpoints").glob("*.ckpt"))
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    answer = kinesics("train", "--resume", copy)
    assert answer.code == 0 and f"{newest.name} is damaged" in answer.err and "resumed at epoch" in answer.err
    assert [name for name in EXACT if (copy / name).read_bytes() != (run / name).read_bytes()] == []


def test_when_every_checkpoint_is_damaged_it_says_so(copy: Path, kinesics: Callable[..., Any]) -> None:
    for path in (copy / "checkpoints").glob("*.ckpt"):
        path.write_bytes(path.read_bytes()[:-10])
    answer = kinesics("train", "--resume", copy)
    assert answer.code == 2 and "every checkpoint in" in answer.err and "Traceback" not in answer.err


def test_an_existing_run_is_not_touched(
    run: Path, faces: Path, kinesics: Callable[..., Any], flags: tuple[str, ...]
) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in run.iterdir()}
    answer = kinesics("train", "ldlva", "--data", faces, "--out", run, *flags)
    assert answer.code == 2 and "already holds a run" in answer.err and "--resume" in answer.err
    assert {path.name: path.stat().st_mtime_ns for path in run.iterdir()} == before


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        (("--fit.lr", "0.001"), "--fit.lr"),
        (("--seed", "5"), "--seed"),
        (("--task.k", "3", "--input.augment.flip", "0.1"), "--task.k"),
        (("--classes", "[happiness,anger]"), "--classes"),
    ],
)
def test_other_settings_are_refused_on_a_resume(
    changed: tuple[str, ...], named: str, run: Path, faces: Path, kinesics: Callable[..., Any], flags: tuple[str, ...]
) -> None:
    answer = kinesics("train", "ldlva", "--data", faces, "--out", run, "--resume", *flags, *changed)
    assert answer.code == 2 and "other settings" in answer.err and named in answer.err
    assert f"kinesics train --resume {run}" in answer.err


def test_another_system_is_refused_on_a_resume(run: Path, faces: Path, kinesics: Callable[..., Any]) -> None:
    answer = kinesics("train", "cross_entropy", "--data", faces, "--out", run, "--resume")
    assert answer.code == 2 and "--system" in answer.err


def test_another_manifest_is_refused_on_a_resume(
    copy: Path, faces: Path, tmp_path: Path, kinesics: Callable[..., Any], flags: tuple[str, ...]
) -> None:
    table = pd.read_csv(faces)
    table.loc[3, "label"] = "fear" if table["label"][3] != "fear" else "anger"
    other = faces.with_name("other.csv")
    table.to_csv(other, index=False)
    answer = kinesics("train", "ldlva", "--data", other, "--out", copy, "--resume", *flags)
    assert answer.code == 2 and "the data are not those" in answer.err and "fingerprint" in answer.err


def test_a_manifest_that_has_moved_is_not_another_one(
    copy: Path, faces: Path, tmp_path: Path, kinesics: Callable[..., Any], flags: tuple[str, ...]
) -> None:
    moved = Path(shutil.copytree(faces.parent, tmp_path / "moved")) / faces.name
    answer = kinesics("train", "ldlva", "--data", moved, "--out", copy, "--resume", *flags)
    assert answer.code == 0, answer.err


def test_resume_with_a_recipe_of_its_own_takes_no_flags(run: Path, kinesics: Callable[..., Any]) -> None:
    answer = kinesics("train", "--resume", run, "--fit.epochs", "9")
    assert answer.code == 2 and "--fit.epochs 9" in answer.err
    assert kinesics("train", "--resume", run.parent / "none").code == 2
    assert kinesics("train", "ldlva", "--data", "m.csv", "--resume").code == 2


def quick(faces: Path, out: Path, *flags: object) -> tuple[object, ...]:
    """A training of plain cross-entropy for one epoch."""
    return ("train", "cross_entropy", "--data", faces, "--out", out, *FAST, *flags)


def test_some_classes_in_an_order_of_ones_own(faces: Path, tmp_path: Path, kinesics: Callable[..., Any]) -> None:
    out = tmp_path / "run"
    assert kinesics(*quick(faces, out, "--classes", "[sad,fear,happiness]")).code == 0
    described = json.loads((out / "run.json").read_text())
    manifest = pd.read_csv(faces)
    wanted = ["sadness", "fear", "happiness"]
    assert described["classes"] == wanted
    count = (manifest["label"].isin(wanted) & (manifest["split"] == "train")).sum()
    assert described["data"]["train"] == count < 60
    assert set(pd.read_csv(out / "predictions.csv")["label"]) <= set(wanted)
    assert read_state(out / "model.safetensors")["model.fc.weight"].shape[0] == 3


def test_weights_of_a_run_with_other_classes(
    run: Path, faces: Path, tmp_path: Path, kinesics: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a rate of next to nothing the rows of classes that both have are those of the run; the network too."""
    out = tmp_path / "run"
    answer = kinesics(*quick(faces, out, "--weights", run, "--classes", "[fear,happiness]", *STILL))
    assert answer.code == 0, answer.err
    before, after = read_state(run / "model.safetensors"), read_state(out / "model.safetensors")
    torch.testing.assert_close(after["model.layer3.0.conv1.weight"], before["model.layer3.0.conv1.weight"])
    rows = [BASIC.index("fear"), BASIC.index("happiness")]
    torch.testing.assert_close(after["model.fc.weight"], before["model.fc.weight"][rows])
    assert "tensors loaded" in answer.err


def test_weights_of_a_pth_file_in_torchvisions_format(
    faces: Path, tmp_path: Path, kinesics: Callable[..., Any]
) -> None:
    file = tmp_path / "resnet18.pth"
    torch.manual_seed(0)
    foreign = resnet(18, num_classes=1000, in_channels=3, stem="imagenet").state_dict()
    torch.save(foreign, file)
    out = tmp_path / "run"
    flags = ("--weights", file, "--task.backbone", "resnet18", "--task.stem", "imagenet", "--fit.batch_size", 60)
    answer = kinesics(*quick(faces, out, *flags, *STILL))
    assert answer.code == 0, answer.err
    after = read_state(out / "model.safetensors")
    torch.testing.assert_close(after["model.layer4.1.conv2.weight"], foreign["layer4.1.conv2.weight"])
    torch.testing.assert_close(after["model.conv1.weight"], foreign["conv1.weight"].sum(1, keepdim=True))
    assert "fc.weight is (1000, 512) in the file, (7, 512) in the model" in answer.err


def test_damaged_weights_are_refused(copy: Path, faces: Path, tmp_path: Path, kinesics: Callable[..., Any]) -> None:
    """A flipped bit inside a tensor leaves a readable file: only the checksum tells."""
    path = copy / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    answer = kinesics(*quick(faces, tmp_path / "run", "--weights", copy))
    assert answer.code == 2 and "is damaged" in answer.err
    assert not (tmp_path / "run").exists()


def test_resuming_needs_the_starting_weights_no_more(
    faces: Path, run: Path, tmp_path: Path, kinesics: Callable[..., Any]
) -> None:
    weights = tmp_path / "start.safetensors"
    shutil.copy(run / "model.safetensors", weights)
    assert kinesics(*quick(faces, tmp_path / "run", "--weights", weights)).code == 0
    weights.unlink()
    answer = kinesics("train", "--resume", tmp_path / "run")
    assert answer.code == 0, answer.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("ldvla", "--data", "x.csv"), "did you mean ldlva"),
        (("ldlva",), "--data is missing"),
        (("ldlva", "--data", "missing.csv"), "missing.csv"),
        (("ldlva", "--data", "x.csv", "--fit.epoch", "3"), "--fit.epochs"),
        (("ldlva", "--data", "x.csv", "--task.kk", "3"), "--task.k"),
        (("ldlva", "--data", "x.csv", "--fit.epochs", "many"), "epochs"),
        (("ldlva", "--data", "x.csv", "--fit.epochs", "0"), "--fit.epochs must be at least 1; got 0"),
        (("ldlva", "--data", "x.csv", "--seed", "-1"), "--seed"),
        (("ldlva", "--data", "x.csv", "--preset", "papper"), "did you mean paper"),
        (("ldlva", "--data", "x.csv", "--task.backbone", "resnet19"), "resnet18"),
        (("ldlva", "--data", "x.csv", "--fit.device", "tpu"), "tpu"),
        (("--config", "missing.yaml"), "missing.yaml"),
        (("--data", "x.csv"), "which system?"),
        (("ldlva", "--data"), "data"),
        (("--resume", "missing"), "missing"),
    ],
)
def test_bad_input_is_answered_in_one_breath(
    words: tuple[str, ...], said: str, kinesics: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = kinesics("train", *words)
    assert answer.code == 2
    assert answer.err.startswith("error: ") and said in answer.err, answer.err
    assert "Traceback" not in answer.err and len(answer.err.splitlines()) <= 6
    assert list(tmp_path.iterdir()) == []


def test_help_and_recipes_are_printed(faces: Path, kinesics: Callable[..., Any]) -> None:
    overview = kinesics("train", "--help")
    assert overview.code == 0 and "cross_entropy, ldlva" in overview.out
    flags = kinesics("train", "ldlva", "--help")
    assert flags.code == 0 and "--task.uncertainty_lr" in flags.out and "--fit.epochs" in flags.out
    printed = kinesics("train", "ldlva", "--data", faces, "--preset", "release", "--print_config")
    content = yaml.safe_load(printed.out)
    assert printed.code == 0 and content["fit"]["milestones"] == [10, 30] and content["task"]["delta"] == 0.5
