"""Broken input of the verbs of federation and driving: a sentence, exit code 2, and what was there stays as it was."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

Kinesics = Callable[..., Any]

FEDERATE = (
    "--input.size", "32", "--input.crop", "1", "--fit.batch_size", "4", "--fit.precision", "fp32", "--fit.threads", "1",
    "--federation.rounds", "2", "--federation.checkpoint_every", "1",
)  # fmt: skip


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def refused(answer: Any, *said: str) -> None:
    """Exit code 2 and one error that says so, without a traceback."""
    assert answer.code == 2, answer.out + answer.err
    assert "Traceback" not in answer.err and "error: " in answer.err, answer.err
    for text in said:
        assert text in answer.err, answer.err


@pytest.fixture(scope="module")
def drives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two silos in the released FADNet's .npz form: 8 and 6 pictures to train on, 4 to test on."""
    folder, rng = tmp_path_factory.mktemp("drives"), np.random.default_rng(0)
    for name, n in (("train/0", 8), ("train/1", 6), ("test/test", 4)):
        file = folder / f"{name}.npz"
        file.parent.mkdir(exist_ok=True)
        images = rng.integers(0, 256, (n, 24, 32), dtype=np.uint8)
        np.savez(file, imgs=images, ground_truths=rng.uniform(-1, 1, n))
    return folder


@pytest.fixture(scope="module")
def manifest(drives: Path) -> Path:
    from kinesics.cli import main

    assert main(["data", "convert", "--layout", "fadnet-npz", "--block", "2", str(drives), str(drives / "m.csv")]) == 0
    return drives / "m.csv"


@pytest.fixture(scope="module")
def run(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A federation of the manifest as it was converted; to be copied before it is broken."""
    from kinesics.cli import main

    out = tmp_path_factory.mktemp("runs") / "run"
    assert main(["federate", "constant_steering", "--data", str(manifest), "--out", str(out), *FEDERATE]) == 0
    return out


def test_converted_npz_files_are_the_silos(run: Path) -> None:
    silos = pd.read_csv(run / "silos.csv")
    assert silos["silo"].tolist() == [0, 1]
    assert "Answers and targets" in (run / "report.html").read_text(encoding="utf-8")
    assert silos["n_train"].tolist() in ([6, 6], [8, 4])  # one block of two is held out


def no_column(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns="silo")


def one_silo(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(silo="0")


def blank_silo(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(silo=["", *table["silo"].astype(str)[1:-8], *[""] * 8])


def one_sample(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(silo=np.where(table["path"] == table["path"].iloc[-1], "lonely", "0"))


def many_silos(table: pd.DataFrame) -> pd.DataFrame:
    doubled = pd.concat([table, table])
    return doubled.assign(silo=[f"s{k // 2}" for k in range(len(doubled))], split=["test", "test", *["train"] * 34])


def no_targets(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(target="")


def targets_of_text(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(target="left")


def infinite_targets(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(target="inf")


def none_to_train(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(split="test")


def none_to_judge(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(split="train")


def absent_picture(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(path=["gone.png", *table["path"][1:]])


def no_rows(table: pd.DataFrame) -> pd.DataFrame:
    return table[:0]


@pytest.mark.parametrize(("broken", "said"), [
    (no_column, "no column 'silo'"), (one_silo, "one silo only (0)"), (blank_silo, "training rows have no silo"),
    (one_sample, "lonely"), (many_silos, "17 silos in the data, but gaia has 11 places"), (no_targets, "target"),
    (targets_of_text, "target"), (infinite_targets, "target"), (none_to_train, "no training rows"),
    (none_to_judge, "neither test nor validation rows"), (absent_picture, "gone.png"), (no_rows, "rows"),
])  # fmt: skip
def test_federating_on_a_broken_manifest(
    broken: Callable[[pd.DataFrame], pd.DataFrame], said: str, manifest: Path, tmp_path: Path, kinesics: Kinesics
) -> None:
    table = pd.read_csv(manifest)
    table["path"] = [str(manifest.parent / path) for path in table["path"]]
    broken(table).to_csv(tmp_path / "m.csv", index=False)
    words = ("--data", tmp_path / "m.csv", "--out", tmp_path / "run", "--input.valid_fraction", "0", *FEDERATE)
    refused(kinesics("federate", "dronet", *words), said)
    assert not (tmp_path / "run" / "model.safetensors").exists()


def changed_settings(run: Path, manifest: Path) -> list[object]:
    return ["dronet", "--data", manifest, "--out", run, *FEDERATE, "--resume"]


def changed_rounds(run: Path, manifest: Path) -> list[object]:
    return ["constant_steering", "--data", manifest, "--out", run, *FEDERATE, "--federation.rounds", 9, "--resume"]


def truncated_checkpoints(run: Path, manifest: Path) -> list[object]:
    for path in (run / "checkpoints").iterdir():
        path.write_bytes(path.read_bytes()[:100])
    return ["--resume", run]


def foreign_recipe(run: Path, manifest: Path) -> list[object]:
    (run / "config.yaml").write_text("system: constant_steering\nfederation: 3\n")
    return ["--resume", run]


def changed_data(run: Path, manifest: Path) -> list[object]:
    table = pd.read_csv(manifest)
    table["path"] = [str(manifest.parent / path) for path in table["path"]]
    table[1:].to_csv(run.parent / "less.csv", index=False)
    return ["constant_steering", "--data", run.parent / "less.csv", "--out", run, *FEDERATE, "--resume"]


def run_of_train(run: Path, manifest: Path) -> list[object]:
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text[: text.index("federation:")])
    return ["dronet", "--config", run / "config.yaml", "--resume", "--out", run]


def no_resume(run: Path, manifest: Path) -> list[object]:
    return ["constant_steering", "--data", manifest, "--out", run, *FEDERATE]


@pytest.mark.parametrize(("break_it", "said"), [
    (changed_settings, "other settings"), (changed_rounds, "--federation.rounds"),
    (truncated_checkpoints, "every checkpoint"), (foreign_recipe, "federation must hold settings by name"),
    (changed_data, "the data are not those"), (run_of_train, "dronet"), (no_resume, "already holds a run"),
])  # fmt: skip
def test_resuming_what_does_not_fit(
    break_it: Callable[[Path, Path], list[object]],
    said: str,
    run: Path,
    manifest: Path,
    tmp_path: Path,
    kinesics: Kinesics,
) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    words = break_it(copy, manifest)
    before = snapshot(copy)
    refused(kinesics("federate", *words), said)
    assert snapshot(copy) == before


def test_one_truncated_checkpoint_costs_one_round(run: Path, tmp_path: Path, kinesics: Kinesics) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    last = sorted((copy / "checkpoints").iterdir())[-1]
    last.write_bytes(last.read_bytes()[:100])
    assert kinesics("federate", "--resume", copy).code == 0
    assert (copy / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()


@pytest.mark.parametrize(("words", "said"), [
    (("fadnett",), "did you mean fadnet"), (("--resume", "nowhere"), "no run there"),
    (("dronet", "--data", "m.csv", "--resume"), "without a run directory"),
    (("dronet", "--data", "nowhere.csv"), "nowhere.csv"), (("dronet",), "--data"),
    (("--config", "nowhere.yaml"), "--config"),
    (("dronet", "--data", "m.csv", "--federation.topk_share", "2"), "(0, 1]"),
])  # fmt: skip
def test_words_that_federate_nothing(
    words: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kinesics: Kinesics
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(kinesics("federate", *words), said)
    assert not list(tmp_path.iterdir())


def test_a_file_in_place_of_the_folder(manifest: Path, tmp_path: Path, kinesics: Kinesics) -> None:
    taken = tmp_path / "taken"
    taken.write_text("mine")
    refused(kinesics("federate", "dronet", "--data", manifest, "--out", taken, *FEDERATE), "taken")
    cities = tmp_path / "cities.csv"
    cities.write_text(CITIES)
    design = (
        "topology",
        "design",
        "--silos",
        cities,
        "--model-bits",
        "1e7",
        "--compute-ms",
        "5",
        "--search-steps",
        "1",
    )
    refused(kinesics(*design, "--out", taken), "taken")
    refused(kinesics("drive", "expert", "--roads", 1, "--videos", 0, "--rate", 2, "--out", taken), "taken")
    assert taken.read_text() == "mine"


CITIES = "name,latitude,longitude\nOslo,59.9,10.8\nLyon,45.8,4.8\nRome,41.9,12.5\n"
NODES = 'node [ id 0 label "a" ] node [ id 1 label "b" ] node [ id 2 label "c" ]'


@pytest.mark.parametrize(("name", "text", "said"), [
    ("a.gml", f"graph [ {NODES} edge [ source 0 target 1 distance 9.0 ] ]", "not connected: no path between a and c"),
    ("a.gml", f"graph [ {NODES} edge [ source 0 target 1 ] ]", "edge a - b has no distance"),
    ("a.gml", f"graph [ {NODES} edge [ source 0 target 1 distance -3.0 ] ]", "a number of 0 or more, got -3"),
    ("a.gml", f'graph [ {NODES} edge [ source 0 target 1 distance "far" ] ]', "expected a number, got 'far'"),
    ("a.gml", 'graph [ node [ id 0 label "a" ] ]', "at least two silos, got 1"),
    ("a.gml", "no graph", "not a readable GML"),
    ("a.graphml", "<graphml>", "not a readable GraphML"),
    ("a.csv", CITIES.replace("59.9", "99"), "line 2: latitude: expected a number from -90 to 90, got 99"),
    ("a.csv", CITIES.replace("45.8", "nan"), "line 3: latitude"),
    ("a.csv", CITIES.replace("4.8", "east"), "expected a number, got"),
    ("a.csv", CITIES.replace("Lyon", "Oslo"), "'Oslo' is listed twice"),
    ("a.csv", CITIES.replace("Lyon", ""), "line 3: the silo has no name"),
    ("a.csv", CITIES.replace("latitude", "lat"), "no column latitude; it has name, lat, longitude"),
    ("a.csv", "\n".join(CITIES.splitlines()[:2]), "at least two silos"),
    ("a.csv", "", "no column"),
    ("a.txt", CITIES, ".gml, .graphml or .csv, got .txt"),
])  # fmt: skip
def test_designing_among_broken_silos(name: str, text: str, said: str, tmp_path: Path, kinesics: Kinesics) -> None:
    (tmp_path / name).write_text(text)
    words = ("--model-bits", "1e7", "--compute-ms", "5", "--out", tmp_path / "out")
    refused(kinesics("topology", "design", "--silos", tmp_path / name, *words), said)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("flag", "value", "said"), [
    ("--access-bps", "-1", "must be a positive number, got -1"), ("--core-bps", "0", "positive number, got 0"),
    ("--download-bps", "inf", "must be a positive number"), ("--local-steps", "0", "must be 1 or more, got 0"),
    ("--mixing", "fdla", "doubly-stochastic"), ("--seed", "-1", "--seed"), ("--seed", "x", "invalid int"),
])  # fmt: skip
def test_designing_with_numbers_that_make_no_sense(
    flag: str, value: str, said: str, tmp_path: Path, kinesics: Kinesics
) -> None:
    (tmp_path / "a.csv").write_text(CITIES)
    words = ("--silos", tmp_path / "a.csv", "--model-bits", "1e7", "--compute-ms", "5", "--out", tmp_path / "out")
    refused(kinesics("topology", "design", *words, flag, value), said)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("words", "said"), [
    (("--roads", "-2"), "--roads must be at least 1; got -2"), (("--seed", "-1"), "--seed must be at least 0; got -1"),
    (("--laps", "0"), "--laps must be at least 1"), (("--rate", "0"), "--rate must be 1 to 60"),
    (("--speed", "0"), "--speed must be in (0, 40]"), (("--speed", "nan"), "--speed must be in (0, 40]"),
    (("--weather", "hail"), "hail"), (("--light", "moon"), "did you mean noon"), (("--videos", "-1"), "--videos"),
    (("--lapse", "3"), "did you mean --laps"), (("--roads", "two"), "invalid int"),
])  # fmt: skip
def test_driving_with_broken_words(words: tuple[str, ...], said: str, tmp_path: Path, kinesics: Kinesics) -> None:
    refused(kinesics("drive", "expert", "--out", tmp_path / "out", *words), said)
    assert not (tmp_path / "out").exists()


def test_driving_by_what_is_no_whole_run(run: Path, tmp_path: Path, kinesics: Kinesics) -> None:
    empty, cut = tmp_path / "empty", Path(shutil.copytree(run, tmp_path / "cut"))
    empty.mkdir()
    words = ("--roads", 1, "--videos", 0, "--out", tmp_path / "out")
    refused(kinesics("drive", empty, *words), "no trained model in")
    (cut / "model.safetensors").write_bytes((cut / "model.safetensors").read_bytes()[:20])
    refused(kinesics("drive", cut, *words), "model.safetensors")
    (cut / "model.json").write_text("{")
    refused(kinesics("drive", cut, *words), "model.json")
    refused(kinesics("drive", run, *words, "--device", "abacus"), "abacus")
    assert not (tmp_path / "out").exists() and not list(empty.iterdir())


def test_stats_of_broken_manifests(tmp_path: Path, kinesics: Kinesics) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    for text, said in (
        ("", "m.csv"),
        ("path,target\n", "m.csv"),
        ("file,target\na.png,1\n", "path"),
        ("path,target\na.png,left\n", "line 2"),
        ("path,target\n,1\n", "line 2"),
        ("path,p_fear,p_anger\na.png,0.5,0.9\n", "line 2"),
        ("path,split\na.png,practice\n", "practice"),
        ("path,target\na.png,1,2\n", "line 2"),
        ("path,path\na.png,a.png\n", "path"),
        (b"path,target\n\xff\xfe.png,1\n", "m.csv"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "m.csv"),
    ):
        (tmp_path / "m.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
        before = snapshot(tmp_path)
        answer = kinesics("data", "stats", tmp_path / "m.csv")
        refused(answer, said)
        assert answer.out == "" and snapshot(tmp_path) == before
    refused(kinesics("data", "stats", tmp_path / "nowhere.csv"), "nowhere.csv")
    refused(kinesics("data", "stats", tmp_path), str(tmp_path))
    (tmp_path / "m.csv").write_text("path,target\na.png,1\n")
    refused(kinesics("data", "stats", tmp_path / "m.csv", "--by", "driver"), "driver")
