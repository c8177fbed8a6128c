"""kinesics federate, by its real command line on drawn faces."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from kinesics.federated.silo import Silo

FLAGS = (
    "--input.size", "32", "--fit.batch_size", "8", "--fit.precision", "fp32", "--fit.threads", "1",
    "--silos.by", "dirichlet", "--silos.n", "3", "--federation.rounds", "4", "--federation.evaluate_every", "2",
    "--federation.checkpoint_every", "1",
)  # fmt: skip
LDLVA = ("--task.source", "teacher", "--task.teacher_epochs", "1", "--task.k", "3", "--task.bank_hold", "0")


@pytest.fixture(scope="module")
def federated(tmp_path_factory: pytest.TempPathFactory, faces: Path) -> Path:
    """Three silos that train LDLVA together; not to be changed."""
    from kinesics.cli import main

    folder = tmp_path_factory.mktemp("federated") / "run"
    assert main(["federate", "ldlva", "--data", str(faces), "--out", str(folder), *FLAGS, *LDLVA]) == 0
    return folder


def test_what_it_leaves_behind(federated: Path) -> None:
    content = json.loads((federated / "run.json").read_text())
    assert content["status"] == "finished" and sum(content["silos"].values()) == 60
    metrics, silos = pd.read_csv(federated / "metrics.csv"), pd.read_csv(federated / "silos.csv")
    assert metrics["round"].tolist() == [2, 4]
    assert {"compute_s", "modelled_s", "consensus", "test/accuracy", "train/loss"} <= set(metrics)
    assert silos["n_train"].sum() == 60 and silos["accuracy"].between(0, 1).all()
    samples = pd.read_csv(federated / "samples.csv")
    assert samples.groupby("silo").size().to_dict() == dict(zip(silos["silo"], silos["n_train"], strict=True))
    assert samples["uncertainty"].between(0, 1).all() and samples["path"].is_unique
    assert len(pd.read_csv(federated / "predictions.csv")) == 20
    assert "over 2 judged rounds" in (federated / "report.html").read_text(encoding="utf-8")
    assert set(content["notes"]) == set(content["silos"])
    assert all(path.suffix == ".ckpt" for path in (federated / "checkpoints").iterdir())


def told(run: Path) -> str:
    """The page's text and what it tells those who can't see its figures, a blank between cells."""
    body = (run / "report.html").read_text(encoding="utf-8").split("</head>")[1]
    body = re.sub(r'<svg[^>]*aria-label="([^"]*)"', r" \1 <svg", body)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", body)))


def test_report_of_a_classifier(federated: Path) -> None:
    """Every number is that of the tables, read on their own."""
    text, metrics, silos = told(federated), pd.read_csv(federated / "metrics.csv"), pd.read_csv(federated / "silos.csv")
    last = metrics.iloc[-1]
    assert "ldlva across 3 silos on manifest.csv" in text
    assert f"Accuracy {100 * last['test/accuracy']:.1f} %" in text
    assert f"Own models {100 * silos['accuracy'].mean():.1f} %" in text
    for row in silos.itertuples():
        assert f" {row.silo} {row.n_train} {100 * row.accuracy:.1f} % {100 * row.uar:.1f} %" in text
    for _, row in metrics.iterrows():
        cells = f"{row['round']:.0f} {row['compute_s']:.3f} {row['modelled_s']:.3f} {100 * row['test/accuracy']:.1f} %"
        assert f"{cells} {1 - row['test/accuracy']:.4f}" in text
    error = 1 - metrics["test/accuracy"]
    assert f"network, modelled (s): {error.iloc[0]:.4g} at first, {error.iloc[-1]:.4g} at the end" in text
    first = metrics["consensus"].iloc[0]
    assert f"consensus over the rounds, {first:.4g} at first, {last['consensus']:.4g} at last" in text
    assert (
        f"Sent {last['message_bits'] / 1e6:.3g} Mbit" in text or f"Sent {last['message_bits'] / 1e9:.3g} Gbit" in text
    )
    for section in ("Confusion matrix", "Calibration", "Most confident and wrong", "overlay christofides-ring"):
        assert section in text
    assert "On test data" in text and "Dirichlet, alpha 0.5" in text and "federation.rounds 4" in text
    page = (federated / "report.html").read_text(encoding="utf-8")
    assert not re.search(r'(src|href)="(?!#|data:)', page), "self-contained"


def test_report_of_steering(tmp_path: Path, kinesics: Callable[..., Any]) -> None:
    from kinesics.data.synthetic.roads import write_roads

    out, roads = tmp_path / "run", write_roads(tmp_path / "roads", 24, 0, 12, seed=0, silos=3, per_drive=8)
    flags = (
        "--input.size", 32, "--input.crop", 1, "--input.valid_fraction", 0, "--fit.batch_size", 4, "--fit.precision",
        "fp32", "--fit.threads", 1, "--federation.rounds", 2, "--federation.evaluate_every", 1, "--federation.mode",
        "sfl",
    )  # fmt: skip
    done = kinesics("federate", "fadnet", "--data", roads, "--out", out, *flags)
    assert done.code == 0, done.err
    text, metrics, silos = told(out), pd.read_csv(out / "metrics.csv"), pd.read_csv(out / "silos.csv")
    assert f"RMSE {metrics['test/rmse'].iloc[-1]:.4f}" in text
    assert f"Own models {silos['rmse'].mean():.4f}" in text
    for row in silos.itertuples():
        assert f" {row.silo} 8 {row.rmse:.4f} {row.mae:.4f}" in text
    ends = f"{metrics['test/rmse'].iloc[0]:.4g} at first, {metrics['test/rmse'].iloc[-1]:.4g} at the end"
    assert text.count(ends) == 2, "one clock each"
    assert "Answers and targets" in text and "a server averages (sfl)" in text and "A face shows" not in text


def test_the_run_is_used_like_any_other(federated: Path, faces: Path, kinesics: Callable[..., Any]) -> None:
    judged = kinesics("evaluate", federated, "--data", faces)
    assert judged.code == 0, judged.err
    wanted = json.loads((federated / "run.json").read_text())["last"]["test"]["accuracy"]
    assert f"{wanted:.4f}" in judged.out or f"{wanted:.3f}" in judged.out or f"{100 * wanted:.1f}" in judged.out
    assert kinesics("predict", federated, faces.parent / "test").code == 0


def test_killed_and_resumed_by_its_own_recipe(
    federated: Path, faces: Path, tmp_path: Path, kinesics: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "killed"
    with monkeypatch.context() as patch:
        original, calls = Silo.step, iter(range(1000))

        def step(self: Silo, *arguments: Any) -> None:
            if next(calls) == 7:
                raise KeyboardInterrupt
            original(self, *arguments)

        patch.setattr(Silo, "step", step)
        assert kinesics("federate", "ldlva", "--data", faces, "--out", out, *FLAGS, *LDLVA).code == 130
    assert json.loads((out / "run.json").read_text())["status"] == "running"
    again = kinesics("federate", "--resume", out)
    assert again.code == 0, again.err
    assert (out / "model.safetensors").read_bytes() == (federated / "model.safetensors").read_bytes()
    assert (out / "samples.csv").read_bytes() == (federated / "samples.csv").read_bytes()


@pytest.mark.parametrize("mode", ["sfl", "cll"])
def test_other_modes(faces: Path, tmp_path: Path, kinesics: Callable[..., Any], mode: str) -> None:
    out = tmp_path / "run"
    flags = ("--federation.mode", mode, "--network.compute_ms", "5")
    done = kinesics("federate", "cross_entropy", "--data", faces, "--out", out, *FLAGS, *flags)
    assert done.code == 0, done.err
    assert len(json.loads((out / "run.json").read_text())["silos"]) == (1 if mode == "cll" else 3)
    assert ("Agreement and messages" in told(out)) == (mode != "cll")
    clock = pd.read_csv(out / "metrics.csv")["modelled_s"].iloc[-1]
    assert clock == pytest.approx(4 * 0.005) if mode == "cll" else clock > 4 * 0.005


def test_silos_by_a_column_of_the_manifest(faces: Path, tmp_path: Path, kinesics: Callable[..., Any]) -> None:
    table = pd.read_csv(faces)
    table["path"] = [str(faces.parent / path) for path in table["path"]]
    table["clinic"] = ["north" if k % 3 else "south" for k in range(len(table))]
    table = table[table["split"] != "test"]  # judged by the validation rows then
    table.to_csv(tmp_path / "m.csv", index=False)
    flags = [*FLAGS, "--silos.by", "column", "--silos.column", "clinic"]
    done = kinesics("federate", "cross_entropy", "--data", tmp_path / "m.csv", "--out", tmp_path / "run", *flags)
    assert done.code == 0, done.err
    assert set(json.loads((tmp_path / "run" / "run.json").read_text())["silos"]) == {"north", "south"}
    assert "valid/accuracy" in pd.read_csv(tmp_path / "run" / "metrics.csv")
    assert "On validation data" in told(tmp_path / "run")


def test_its_recipe_is_complete(federated: Path, tmp_path: Path, kinesics: Callable[..., Any]) -> None:
    content = yaml.safe_load((federated / "config.yaml").read_text())
    assert content["federation"]["rounds"] == 4 and content["network"]["topology"] == "gaia"
    printed = kinesics("federate", "ldlva", "--config", federated / "config.yaml", "--print_config")
    assert printed.code == 0
    assert yaml.safe_load(printed.out)["silos"] == content["silos"]


@pytest.mark.parametrize(("changes", "said"), [
    (("--federation.mode", "p2p"), "dfl, sfl, cll"),
    (("--federation.rounds", "0"), "at least 1"),
    (("--federation.participation", "1.5"), "in \\(0, 1\\]"),
    (("--federation.away", "[nowhere:1-2]"), "no silo"),
    (("--federation.away", "[x]"), "SILO:FROM-TO"),
    (("--federation.compression", "zip"), "none, fp16, topk"),
    (("--network.topology", "atlantis"), "atlantis"),
    (("--network.overlay", "torus"), "christofides-ring"),
    (("--network.core_bps", "-1"), "above 0"),
    (("--silos.by", "column"), "no column 'silo'"),
    (("--silos.n", "12"), "11 places"),
    (("--silos.alpha", "0"), "above 0"),
    (("--federation.local_step", "1"), "unknown flag"),
])  # fmt: skip
def test_bad_settings_get_a_clear_error(
    faces: Path, tmp_path: Path, kinesics: Callable[..., Any], changes: tuple[str, str], said: str
) -> None:
    done = kinesics("federate", "cross_entropy", "--data", faces, "--out", tmp_path / "run", *FLAGS, *changes)
    assert done.code == 2 and re.search(said, done.err), done.err
    assert "Traceback" not in done.err


def test_help_and_a_run_that_is_there_already(federated: Path, faces: Path, kinesics: Callable[..., Any]) -> None:
    assert "cll" in kinesics("federate", "--help").out and "compare RUN RUN" in kinesics("federate", "--help").out
    assert "--federation.rounds" in kinesics("federate", "ldlva", "--help").out
    again = kinesics("federate", "ldlva", "--data", faces, "--out", federated, *FLAGS, *LDLVA)
    assert again.code == 2 and "already holds a run" in again.err
