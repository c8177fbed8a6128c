"""Reading a run directory back: damaged, foreign and malformed files are told, never run or believed."""

from __future__ import annotations

import csv
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kinesics.data.samples import Samples
from kinesics.engine.run import Run, choose_folder, environment, load_model
from kinesics.engine.task import Task
from kinesics.errors import UserError
from kinesics.nn.weights import read_state, write_state
from kinesics.systems import get_system


def reload(folder: Path) -> tuple[Task, str]:
    return load_model(Run.find(folder), lambda name: get_system(name).task_class)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, faces: Samples, task_of: Callable[..., Task]) -> Path:
    """A model of LDLVA as a finished run leaves it."""
    folder = tmp_path_factory.mktemp("written")
    task = task_of("ldlva", faces)
    task.calibration = {"temperature": 1.75}
    Run(folder).write_model(task, "ldlva", task.shared_state())
    return folder


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(written, tmp_path / "copy"))


def change(folder: Path, **entries: Any) -> None:
    content = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**content, **entries}))


def test_a_model_is_read_back(folder: Path) -> None:
    task, system = reload(folder)
    assert system == "ldlva" and task.calibration == {"temperature": 1.75} and not task.training
    assert task.spec.n_train == 0 and all(len(tensor) == 0 for tensor in task.local_state().values())
    assert reload(folder / "model.json")[1] == "ldlva"


def test_nothing_of_the_samples_is_in_the_model_file(written: Path) -> None:
    names = set(read_state(written / "model.safetensors"))
    assert "centres" in names and not {name for name in names if name.startswith(("uncertainty", "bank_", "neigh"))}


def test_a_flipped_bit_in_the_weights_is_noticed(folder: Path) -> None:
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="is damaged"):
        reload(folder)


def test_missing_files(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no trained model in"):
        Run.find(tmp_path / "nothing")
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match="no such file"):
        reload(folder)


def test_weights_that_lack_a_tensor_are_refused(folder: Path) -> None:
    """Under a right checksum, too: what is left out would keep random values."""
    path = folder / "model.safetensors"
    state = read_state(path)
    del state["model.fc.weight"]
    write_state(path, state)
    from kinesics.files import sha256_file

    change(folder, sha256=sha256_file(path))
    with pytest.raises(UserError, match=r"lacks model\.fc\.weight"):
        reload(folder)


def test_of_a_newer_kinesics(folder: Path) -> None:
    change(folder, format=2)
    with pytest.raises(UserError, match="update kinesics"):
        reload(folder)


def test_settings_of_a_newer_kinesics_are_passed_over(folder: Path) -> None:
    content = json.loads((folder / "model.json").read_text())
    change(folder, config={**content["config"], "unheard_of": 3})
    assert reload(folder)[1] == "ldlva"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=st.sampled_from(["format", "system", "config", "spec", "calibration", "sha256"]), value=JSON)
def test_any_content_of_the_description_is_answered_politely(key: str, value: Any, folder: Path) -> None:
    original = (folder / "model.json").read_text()
    try:
        change(folder, **{key: value})
        reload(folder)
    except UserError:
        pass
    finally:
        (folder / "model.json").write_text(original)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    part=st.sampled_from(["config", "spec"]), place=st.integers(0, 40),
    value=st.integers(-5, 2000) | st.none() | st.text(max_size=5) | st.lists(st.integers(-2, 40), max_size=3),
)  # fmt: skip
def test_any_setting_in_the_description_is_answered_politely(part: str, place: int, value: Any, folder: Path) -> None:
    original = (folder / "model.json").read_text()
    content = json.loads(original)[part]
    key = list(content)[place % len(content)]
    try:
        change(folder, **{part: {**content, key: value}})
        reload(folder)
    except UserError:
        pass
    finally:
        (folder / "model.json").write_text(original)


@pytest.mark.parametrize("text", ["", "{", "[1]", "3", "\x00", '{"format": 1}', "[" * 100_000, '"\ud800"'])
def test_a_description_that_is_none(text: str, folder: Path) -> None:
    (folder / "model.json").write_text(text, encoding="utf-8", errors="surrogatepass")
    with pytest.raises(UserError, match=r"model\.json"):
        reload(folder)


def test_tables_are_written_in_full_precision(tmp_path: Path) -> None:
    rows = [{"a": 1 / 3, "b": "x, y"}, {"a": math.nan, "c": 1e-300}]
    Run(tmp_path).write_table("t.csv", rows)
    with (tmp_path / "t.csv").open(newline="") as stream:
        found = list(csv.DictReader(stream))
    assert float(found[0]["a"]) == 1 / 3 and found[0]["b"] == "x, y" and found[0]["c"] == ""
    assert math.isnan(float(found[1]["a"])) and float(found[1]["c"]) == 1e-300
    assert list(found[0]) == ["a", "b", "c"]


def test_the_first_free_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert choose_folder("here", "ldlva") == Path("here")
    (tmp_path / "runs" / "ldlva-1").mkdir(parents=True)
    assert choose_folder("", "ldlva") == Path("runs/ldlva-2")
    assert choose_folder("", "scn") == Path("runs/scn-1")


def test_environment_is_plain() -> None:
    found = environment()
    assert json.loads(json.dumps(found)) == found
    assert found["packages"]["torch"] and found["machine"]["cores"] >= 1


def test_halves_are_removed(tmp_path: Path) -> None:
    for name in (".metrics.csv.abc.tmp", "metrics.csv", ".hidden"):
        (tmp_path / name).touch()
    Run(tmp_path).remove_halves()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", "metrics.csv"]
