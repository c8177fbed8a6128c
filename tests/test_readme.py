"""The README: its commands run, its tables are those of the CSV files, its flags and links exist."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from kinesics.cli import VERBS, main
from kinesics.data.emotions import BASIC
from kinesics.data.synthetic.faces import draw_faces
from kinesics.engine import session
from kinesics.nn.resnet import resnet

REPOSITORY = Path(__file__).resolve().parents[1]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in an empty folder, with a cache of its own and one thread."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KINESICS_CACHE", str(tmp_path / "cache"))
    torch.set_num_threads(1)


def runnable(language: str) -> str:
    """The one block of that language that is marked as runnable."""
    (block,) = re.findall(rf"<!-- runnable -->\n```{language}\n(.*?)```", README, flags=re.DOTALL)
    return block


def test_python_block_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(session, "write_report", lambda *_, **__: None)  # slow to draw; the commands below draw it
    block = runnable("python")
    assert len([line for line in block.splitlines() if line.strip()]) <= 10
    names: dict[str, object] = {}
    exec(compile(block, "README.md", "exec"), names)
    answer = names["answer"]
    assert sum(answer.distribution.values()) == pytest.approx(1)  # type: ignore[attr-defined]
    printed = capsys.readouterr().out.split()
    assert 0 <= float(printed[0]) <= 1


def test_console_block_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    faces = draw_faces(90, seed=1, size=56, channels=3, faces_per_person=1, occlusion=0.5)
    for split, chosen in (("train", range(72)), ("test", range(72, 90))):
        for i in chosen:
            folder = tmp_path / "photos" / split / BASIC[faces.label[i]]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(faces.images[i]).save(folder / f"{i:03d}.png")
    torch.save(resnet(18, 2).state_dict(), tmp_path / "resnet18.pth")
    commands = [shlex.split(line) for line in runnable("console").splitlines()]
    assert {words[1] for words in commands} == set(VERBS) - {"demo", "compare", "serve", "push", "pull"}
    for words in commands:
        assert words[0] == "kinesics"
        assert main(words[1:]) == 0, f"{words}\n{capsys.readouterr().out}"
    answers = pd.read_csv("answers.csv")
    assert len(answers) == 18
    probability = answers[[f"p_{name}" for name in BASIC if f"p_{name}" in answers]].to_numpy()
    np.testing.assert_allclose(probability.sum(1), 1, atol=1e-9)
    assert Path("runs/photos/report.html").stat().st_size > 10_000


def test_python_of_the_data_page_runs() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs" / "data.md").read_text(), flags=re.DOTALL)
    names: dict[str, np.ndarray] = {}
    exec(compile(block, "data.md", "exec"), names)
    assert names["flipped"].sum() == 3
    assert ((names["noisy"] != names["labels"]) == names["flipped"]).all()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_flags_on_the_pages_exist() -> None:
    known = {"--nproc-per-node", "--check"}  # of torchrun and of benchmarks/readme_tables.py
    known |= {"--study", "--keep-tests"}  # of benchmarks/noise_study.py
    known |= {"--data-binary", "--read-only", "--rm", "--tmpfs"}  # of curl and docker
    for words in (
        *(["train", system] for system in ("ldlva", "cross_entropy", "scn", "eac", "rul", "ldl_votes", "fadnet")),
        ["federate", "cross_entropy"],
        ["federate", "compare"],
        *(["data", verb] for verb in ("convert", "check", "stats", "apply-review")),
        *([verb] for verb in VERBS if verb != "data"),
    ):
        help_text = io.StringIO()
        with contextlib.redirect_stdout(help_text), contextlib.suppress(SystemExit):
            main([*words, "--help"])
        known |= set(re.findall(r"--[a-z][\w.-]*", help_text.getvalue()))
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        found = {flag.rstrip(".") for flag in re.findall(r"(?<![\w<|-])--[a-z][\w.-]*", text)}
        assert not {flag for flag in found if flag not in known}, page.name


def tables_script() -> ModuleType:
    """benchmarks/readme_tables.py as a module."""
    path = REPOSITORY / "benchmarks" / "readme_tables.py"
    spec = importlib.util.spec_from_file_location("readme_tables", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_script(module: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["readme_tables.py", *arguments])
    return module.main()


def test_tables_of_the_readme_are_current(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_script(tables_script(), monkeypatch, "--check") == 0, "python benchmarks/readme_tables.py"


def test_tables_from_made_up_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tables_script()
    accuracy = {0: 0.70, 1: 0.72, 2: 0.77}
    rows = [
        {
            "condition": "natural", "method": "ldlva", "schedule": "short", "seed": seed, "n_train": 10000,
            "epochs": 10, "accuracy_selected": value, "accuracy_last": value, "kl_selected": 0.5, "kl_last": 0.5,
            "ece_selected": 0.1, "auroc_label_doubt": 0.9, "auroc_uncertainty": float("nan"),
        }
        for seed, value in accuracy.items()
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(tmp_path / "ferplus_noise.csv", index=False)
    readme = tmp_path / "README.md"
    empty = "".join(f"<!-- table:{name} -->\n<!-- /table:{name} -->\n" for name in ("ferplus_noise", "memory"))
    readme.write_text(f"before\n{empty}after\n")
    options = ("--readme", str(readme), "--folder", str(tmp_path))
    assert run_script(script, monkeypatch, "--check", *options) == 1
    assert readme.read_text() == f"before\n{empty}after\n"
    assert run_script(script, monkeypatch, *options) == 0
    text = readme.read_text()
    # by hand: mean 73.0; deviation sqrt((3^2 + 1^2 + 4^2) / 2) = 3.606; error 3.606 / sqrt(3) = 2.08
    assert "| original FER2013 labels | 10 | LDLVA | 73.0 ± 2.1 |" in text
    assert text.startswith("before\n") and text.endswith("<!-- table:memory -->\n<!-- /table:memory -->\nafter\n")
    assert run_script(script, monkeypatch, "--check", *options) == 0
    (tmp_path / "ferplus_noise.csv").unlink()
    assert run_script(script, monkeypatch, *options) == 0
    assert readme.read_text() == f"before\n{empty}after\n"


def test_the_summary_of_the_noise_study_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest schedule; bold is the best that sees noisy labels only; the ceiling is shown and never bold."""
    values = {("cross_entropy", 0): (0.60, 0.7), ("cross_entropy", 1): (0.62, 0.8), ("ldlva", 0): (0.63, 0.78),
              ("ldl_votes", 0): (0.70, 0.4)}  # fmt: skip
    rows = [
        {"condition": "natural", "method": m, "seed": s, "epochs": epochs, "accuracy_selected": a + more,
         "kl_selected": kl}
        for (m, s), (a, kl) in values.items()
        for epochs, more in ((10, 0.2), (30, 0.0))
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(tmp_path / "noise_study.csv", index=False)
    page = tmp_path / "page.md"
    page.write_text("<!-- table:noise_summary -->\n<!-- /table:noise_summary -->\n")
    assert run_script(tables_script(), monkeypatch, "--pages", str(page), "--folder", str(tmp_path)) == 0
    lines = [line for line in page.read_text().splitlines() if line.startswith("|")]
    assert lines[0] == "| method | original FER2013 labels |" and lines[2:] == [
        "| cross-entropy | 61.0 / **0.750** (2) |",
        "| LDLVA | **63.0** / 0.780 (1) |",
        "| votes (ceiling) | 70.0 / 0.400 (1) |",
    ]
    assert "30 epochs" in page.read_text()


def test_one_seed_has_no_error() -> None:
    script = tables_script()
    assert script.mean_and_error(pd.Series([0.5]), 2) == "0.50"
    assert script.mean_and_error(pd.Series([np.nan]), 2) == "–"


def test_the_table_of_the_steering_page_is_the_benchmarks() -> None:
    text = (REPOSITORY / "docs" / "steering.md").read_text(encoding="utf-8")
    table = pd.read_csv(REPOSITORY / "benchmarks" / "steering_speed.csv")
    measured = table.set_index(["system", "preset", "precision"])
    for system, preset in dict.fromkeys(key[:2] for key in measured.index):
        full, half = (measured.loc[(system, preset, precision)] for precision in ("fp32", "bf16"))
        rates = [f"{row[name]:.0f}" for row in (full, half) for name in ("fps", "fps_network")]
        cells = [f"`{system}`", f"`{preset}`", f"{full['size']:.0f}", f"{full['parameters']:,.0f}", *rates]
        assert "| " + " | ".join([*cells, f"{full['ratio']:.2f}"]) + " |" in text, (system, preset)
