"""A whole run in this process: what is written when it is stopped at its end, and what the data may lack."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kinesics import api
from kinesics.data.synthetic.faces import write_faces
from kinesics.engine import session
from kinesics.engine.run import Run
from kinesics.errors import UserError
from kinesics.systems import get_system

FAST = {"input__size": 32, "fit__epochs": 2, "fit__batch_size": 8, "fit__precision": "fp32", "fit__threads": 1}
EXACT = ("metrics.csv", "predictions.csv", "samples.csv", "model.safetensors", "model_last.safetensors", "model.json")


@pytest.fixture(scope="module", autouse=True)
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A cache of these tests' own, and no report: drawing it takes longer than these trainings."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KINESICS_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(session, "write_report", lambda *_, **__: None)
        yield


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_faces(tmp_path_factory.mktemp("faces"), 24, 12, 12, seed=0, size=32, faces_per_person=2)


@pytest.fixture(scope="module")
def whole(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing stopped."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    return api.train("cross_entropy", manifest, out=str(out), **FAST).folder


class Killed(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize("moment", ["metrics.csv", "model_last.json", "model.json", "predictions.csv", "samples.csv"])
def test_killed_while_a_file_is_written_it_is_written_by_the_resumed_run(
    moment: str, manifest: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`metrics.csv`: after the last epoch's checkpoint, whose row would otherwise be lost."""

    def stopping(original: Callable[..., None]) -> Callable[..., None]:
        def write(run: Run, name: str, content: Any) -> None:
            if name == moment and (name != "metrics.csv" or len(content) == 2):
                raise Killed
            original(run, name, content)

        return write

    with monkeypatch.context() as patch:
        for name in ("write_table", "write_json"):
            patch.setattr(Run, name, stopping(getattr(Run, name)))
        with pytest.raises(Killed):
            api.train("cross_entropy", manifest, out=str(tmp_path / "run"), **FAST)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "running"
    api.train("cross_entropy", manifest, resume=True, out=str(tmp_path / "run"), **FAST)
    assert [name for name in EXACT if (tmp_path / "run" / name).read_bytes() != (whole / name).read_bytes()] == []
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "finished"


def test_the_python_function_refuses_other_settings_on_a_resume_too(manifest: Path, whole: Path) -> None:
    with pytest.raises(UserError, match=r"--input\.augment\.flip, --fit\.lr"):
        api.train(
            "cross_entropy", manifest, resume=True, out=str(whole), **FAST, fit__lr=0.01, input__augment__flip=0.2
        )


def test_images_that_became_unreadable_are_noticed_on_a_resume(manifest: Path, tmp_path: Path) -> None:
    """A sample fewer would give every sample id after it another sample."""
    folder = tmp_path / "faces"
    table = pd.read_csv(manifest)
    table["path"] = [str(manifest.parent / name) for name in table["path"]]
    bad = folder / "bad.png"
    bad.parent.mkdir()
    bad.write_bytes((manifest.parent / "train" / "000005.png").read_bytes())
    table.loc[5, "path"] = str(bad)
    table.to_csv(folder / "m.csv", index=False)
    settings = {**FAST, "fit__epochs": 1, "input__on_bad_image": "skip", "out": str(tmp_path / "run")}
    api.train("cross_entropy", folder / "m.csv", **settings)
    bad.write_bytes(b"spoilt")
    with pytest.raises(UserError, match="the data are not those .*changed: fingerprint, train"):
        api.train("cross_entropy", folder / "m.csv", resume=True, **settings)


def test_weights_that_are_kept(manifest: Path, whole: Path, tmp_path: Path) -> None:
    """`last` swaps the two models; both runs trained the same way."""
    run = api.train("cross_entropy", manifest, out=str(tmp_path / "run"), **FAST, fit__keep="last")
    assert (run.folder / "model.safetensors").read_bytes() == (whole / "model_last.safetensors").read_bytes()
    assert (run.folder / "model_selected.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    found, expected = api.evaluate(run.folder, manifest), api.evaluate(whole, manifest, last=True)
    assert found.predictions == expected.predictions


def test_another_seed_is_another_run(manifest: Path, whole: Path, tmp_path: Path) -> None:
    run = api.train("cross_entropy", manifest, out=str(tmp_path / "run"), **FAST, seed=1)
    assert (run.folder / "model.safetensors").read_bytes() != (whole / "model.safetensors").read_bytes()


def changed(manifest: Path, path: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Path:
    """A changed copy of the manifest, in another folder."""
    table = pd.read_csv(manifest)
    table["path"] = [str(manifest.parent / name) for name in table["path"]]
    change(table).to_csv(path, index=False)
    return path


def test_without_a_validation_split_part_of_train_becomes_one(manifest: Path, tmp_path: Path) -> None:
    """Whole groups are held out, the same ones every time; the test rows stay what they are."""
    path = changed(manifest, tmp_path / "m.csv", lambda table: table[table["split"] != "valid"])
    settings = {**FAST, "fit__epochs": 1, "input__valid_fraction": 0.25}
    found = []
    for name in ("a", "b"):
        run = api.train("cross_entropy", path, out=str(tmp_path / name), **settings)
        described = run.read_json("run.json")
        assert described["data"]["valid_from"] == "train"
        predictions = pd.read_csv(run.folder / "predictions.csv")
        found.append(list(predictions["path"][predictions["split"] == "valid"]))
        sizes = {"train": 24 - len(found[0]), "valid": len(found[0]), "test": 12}
        assert described["data"] | sizes == described["data"] and 4 <= sizes["valid"] <= 8
    assert found[0] == found[1]
    group = pd.read_csv(path).set_index("path")["group"]
    trained = set(pd.read_csv(run.folder / "samples.csv")["path"])
    assert not set(group[found[0]]) & set(group[sorted(trained)])


def test_training_rows_alone_are_enough(manifest: Path, tmp_path: Path) -> None:
    path = changed(manifest, tmp_path / "m.csv", lambda table: table[table["split"] == "train"])
    settings = {**FAST, "fit__epochs": 1, "input__valid_fraction": 0.0}
    run = api.train("cross_entropy", path, out=str(tmp_path / "run"), **settings)
    described = run.read_json("run.json")
    assert described["status"] == "finished" and described["data"]["valid_from"] == "none"
    assert not (run.folder / "predictions.csv").exists() and (run.folder / "model.json").exists()


def test_rows_without_a_label_are_left_out(manifest: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def unlabel(table: pd.DataFrame) -> pd.DataFrame:
        bare = table[[name for name in table if not str(name).startswith("p_")]].copy()
        bare.loc[[0, 3, 30], "label"] = ""
        return bare

    path = changed(manifest, tmp_path / "m.csv", unlabel)
    with caplog.at_level("WARNING", logger="kinesics"):
        run = api.train("cross_entropy", path, out=str(tmp_path / "run"), **{**FAST, "fit__epochs": 1})
    assert run.read_json("run.json")["data"]["train"] == 22
    assert "2 training rows without a label are left out" in caplog.text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table[table["split"] != "train"], "train"),
        (lambda table: table.assign(label=table["label"].where(table["split"] != "train", "")), "label"),
        (lambda table: table[["path", "split"]], "label"),
        (lambda table: table.assign(label="fear"), "class"),
    ],
    ids=["no training rows", "no training labels", "no labels at all", "one class"],
)
def test_data_that_can_not_be_trained_on(
    system: str, change: Callable[[pd.DataFrame], pd.DataFrame], said: str, manifest: Path, tmp_path: Path
) -> None:
    def bare(table: pd.DataFrame) -> pd.DataFrame:
        return change(table[[name for name in table if not str(name).startswith("p_")]])

    path = changed(manifest, tmp_path / "m.csv", bare)
    if get_system(system).task_class.truth == "target":
        said = "no column target"  # faces have none, whatever else is wrong with them
    with pytest.raises(UserError, match=said):
        api.train(system, path, out=str(tmp_path / "run"), **FAST)
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_not_finite_leaves_a_run_that_says_so(manifest: Path, tmp_path: Path) -> None:
    settings = {**FAST, "fit__lr": 1e30, "fit__optimizer": "sgd", "fit__schedule": "constant"}
    with pytest.raises(UserError, match=r"the loss became .*\n  train/0000"):
        api.train("cross_entropy", manifest, out=str(tmp_path / "run"), **settings)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "running"
    with pytest.raises(UserError, match="never finished"):
        api.evaluate(tmp_path / "run", manifest)


def test_settings_from_python(manifest: Path, tmp_path: Path) -> None:
    for settings, said in (
        ({"fit__epoch": 3}, "epoch"),
        ({"fit__epochs": 0}, "at least 1"),
        ({"preset": "smoothd"}, "it has default, smoothed, votes"),
        ({"seed": -1}, "--seed"),
    ):
        with pytest.raises(UserError, match=said):
            api.train("cross_entropy", manifest, out=str(tmp_path / "run"), **settings)
    with pytest.raises(UserError, match="did you mean cross_entropy"):
        api.train("crossentropy", manifest)


def test_runs_are_numbered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, manifest: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for number in (1, 2):
        run = api.train("cross_entropy", manifest, **{**FAST, "fit__epochs": 1, "fit__batch_size": 24})
        assert run.folder == Path("runs", f"cross_entropy-{number}")
    assert np.isfinite(api.evaluate(run.folder, manifest).metrics["nll"])
