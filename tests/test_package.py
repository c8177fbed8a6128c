"""The wheel: what is in it, and that it works from a folder of its own, not from the source tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the sources, so that nothing is left behind in the working tree."""
    copy = tmp_path_factory.mktemp("sources")
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(REPOSITORY / name, copy / name)
    junk = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(REPOSITORY / "src", copy / "src", ignore=junk)
    run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(copy / "dist")], copy)
    (built,) = (copy / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder with nothing but the wheel's content."""
    target = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index"]
    run([*pip, "--no-compile", "--target", str(target), str(wheel)], target)
    return target


def run(command: list[str], folder: Path, path: Path | None = None) -> str:
    """Standard output; the whole output in the failure otherwise. `path` goes before the interpreter's own places."""
    environment = {**os.environ, "PYTHONPATH": str(path)} if path else dict(os.environ)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_content(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = {
        path.relative_to(REPOSITORY / "src").as_posix() for path in (REPOSITORY / "src" / "kinesics").rglob("*.py")
    }
    assert sources <= names
    assert "kinesics/py.typed" in names
    assert {f"kinesics/studies/audit/gallery.{kind}" for kind in ("html", "css", "js")} <= names
    weights = REPOSITORY / "src" / "kinesics" / "weights"
    for path in (path for path in weights.rglob("*") if path.suffix in (".safetensors", ".json")):
        assert f"kinesics/weights/{path.name}" in names
    for path in (REPOSITORY / "src" / "kinesics" / "serve" / "static").iterdir():
        assert f"kinesics/serve/static/{path.name}" in names
    information = {name.split("/", 1)[1] for name in names if ".dist-info/" in name}
    assert {"METADATA", "entry_points.txt", "licenses/LICENSE", "licenses/NOTICE"} <= information
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"kinesics"}
    assert not [name for name in names if "test" in Path(name).name or name.endswith((".pyc", ".csv", ".png"))]


def test_runs_from_where_it_was_installed(installed: Path, tmp_path: Path) -> None:
    place = run([sys.executable, "-c", "import kinesics; print(kinesics.__file__)"], tmp_path, installed)
    assert Path(place.strip()).is_relative_to(installed)
    assert "usage: kinesics VERB" in run([sys.executable, "-m", "kinesics", "--help"], tmp_path, installed)
    assert run([sys.executable, "-m", "kinesics", "--version"], tmp_path, installed) == "kinesics 0.1.0\n"


def test_systems_are_found_where_it_was_installed(installed: Path, tmp_path: Path) -> None:
    asked = (
        "import kinesics.systems as s; import sys;"
        "[x.task_class for x in s.SYSTEMS.values()];"
        "print(*{m.__file__ for n, m in sys.modules.items() if n.startswith('kinesics')}, sep=chr(10))"
    )
    for place in run([sys.executable, "-c", asked], tmp_path, installed).split():
        assert Path(place).is_relative_to(installed)
