"""Each script in examples/ on tiny data, and the folder that docs/contract.md builds, through the command line."""

from __future__ import annotations

import json
import re
import runpy
import shlex
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from PIL import Image

from kinesics import systems
from kinesics.cli import main
from kinesics.data.emotions import BASIC
from kinesics.data.synthetic.faces import draw_faces, write_faces
from kinesics.engine import session

REPOSITORY = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((REPOSITORY / "examples").glob("*.py"))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in an empty folder, with a cache of its own and one thread; reports, slow to draw, have their own tests."""
    monkeypatch.setattr(session, "write_report", lambda run, *_, **__: (run.folder / "report.html").touch())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KINESICS_CACHE", str(tmp_path / "cache"))
    torch.set_num_threads(1)


def run_example(monkeypatch: pytest.MonkeyPatch, name: str, *arguments: str) -> int:
    """Run a script as `python examples/NAME ARGUMENTS`; its exit code."""
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    try:
        runpy.run_path(str(REPOSITORY / "examples" / name), run_name="__main__")
    except SystemExit as stopped:
        return int(stopped.code or 0)
    return 0


def test_every_example_is_run_here_and_short() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    for path in EXAMPLES:
        assert f'monkeypatch, "{path.name}"' in source
        assert len(path.read_text(encoding="utf-8").splitlines()) < 80


def test_train_and_predict(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_example(monkeypatch, "train_and_predict.py", "--out", "a", "--n-train", "70", "--epochs", "1") == 0
    printed = capsys.readouterr().out.splitlines()
    shares = {line.split()[0]: float(line.split()[1]) for line in printed if line.startswith("  ")}
    assert set(shares) == set(BASIC)
    assert sum(shares.values()) == pytest.approx(1, abs=0.005)
    assert Image.open("a/answer.png").width == 192 + 220


def test_find_wrong_labels(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--out", "a", "--n-train", "70", "--epochs", "1", "--top", "9")
    assert run_example(monkeypatch, "find_wrong_labels.py", *options) == 0
    assert "of all labels it is 20%" in capsys.readouterr().out
    found, samples = pd.read_csv("a/run/suspects.csv"), pd.read_csv("a/run/samples.csv")
    assert len(found) == 9
    assert found["label_doubt"].min() >= samples["label_doubt"].sort_values().iloc[-9]
    assert (found["rather"] != found["label"]).all()
    clean = pd.read_csv("a/faces/manifest.csv").set_index("path")["label"]
    assert (found["is_wrong"] == (clean.loc[found["path"]].to_numpy() != found["label"])).all()
    assert run_example(monkeypatch, "find_wrong_labels.py", "a/run", "--top", "3") == 0
    assert list(pd.read_csv("a/run/suspects.csv")["path"]) == list(found["path"][:3])


def test_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    faces = draw_faces(70, seed=1, size=56, channels=3, faces_per_person=1, occlusion=0.5)
    for i, image in enumerate(faces.images):
        folder = tmp_path / "photos" / BASIC[faces.label[i]]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{i:03d}.png")
    assert run_example(monkeypatch, "own_folder.py", "photos", "--out", "a", "--epochs", "1") == 0
    assert "70 images of neutral, happiness" in capsys.readouterr().out
    assert Path("a/run/report.html").is_file()
    (tmp_path / "photos" / "neutral" / "broken.png").write_bytes(b"no image")
    assert run_example(monkeypatch, "own_folder.py", "photos", "--out", "b") == 1
    assert "unreadable" in capsys.readouterr().out
    assert not Path("b/run").exists()


def test_add_a_system(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_example(monkeypatch, "add_a_system.py", "--out", "a", "--n-train", "70", "--epochs", "1") == 0
    assert "ccc_valence" in capsys.readouterr().out
    described = json.loads(Path("a/run/run.json").read_text())
    assert described["status"] == "finished"
    assert -1 <= described["selected"]["test"]["ccc"] <= 1


def contract_blocks() -> dict[str, str]:
    """File name -> content of the folder in docs/contract.md, the registry's entry, and the commands."""
    text = (REPOSITORY / "docs" / "contract.md").read_text(encoding="utf-8")
    blocks = dict(re.findall(r"`affect/([\w.]+)`:\n\n```python\n(.*?)```", text, flags=re.DOTALL))
    (blocks["entry"],) = re.findall(r"```python\n(System\(.*?\)),\n```", text)
    (blocks["commands"],) = re.findall(r"```console\n(.*?)```", text, flags=re.DOTALL)
    return blocks


def test_folder_of_the_contract_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = contract_blocks()
    entry, commands = blocks.pop("entry"), blocks.pop("commands").splitlines()
    assert set(blocks) == {"__init__.py", "config.py", "task.py"}
    (tmp_path / "affect").mkdir()
    for name, content in blocks.items():
        (tmp_path / "affect" / name).write_text(content)
    monkeypatch.setattr(systems, "__path__", [*systems.__path__, str(tmp_path)])
    monkeypatch.setitem(systems.SYSTEMS, "affect", eval(entry, {"System": systems.System}))
    write_faces("faces", 64, 16, 16, seed=0)
    assert [line.split()[1] for line in commands] == ["train", "evaluate", "predict"]
    for line in commands:
        assert main(shlex.split(line)[1:]) == 0
    assert main(["train", "affect", "--data", "x.csv", "--task.backbone", "resnet19"]) == 2
    assert json.loads(Path("runs/affect/model.json").read_text())["system"] == "affect"
    for module in [name for name in sys.modules if name.startswith("kinesics.systems.affect")]:
        monkeypatch.delitem(sys.modules, module)


def test_contract_page_and_example_have_the_same_class() -> None:
    def task_class(source: str) -> str:
        return re.search(r"class Affect\(Task\):.*?return \"ccc\", 1\n", source, flags=re.DOTALL).group()  # type: ignore

    example = (REPOSITORY / "examples" / "add_a_system.py").read_text(encoding="utf-8")
    assert task_class(contract_blocks()["task.py"]) == task_class(example)
