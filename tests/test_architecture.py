"""The house stays in order: imports go downwards, nothing runs code from files, files stay short and documented."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from kinesics.systems import SYSTEMS

SOURCE = Path(__file__).resolve().parents[1] / "src" / "kinesics"
FILES = sorted(SOURCE.rglob("*.py"))
NAMES = [str(path.relative_to(SOURCE)) for path in FILES]

FREE = {"allocator", "errors", "files", "progress"}
"""Modules that every room may use; they use nothing of the package but each other."""

ORDER = (
    "metrics", "nn", "vision", "data", "engine", "federated", "systems", "studies", "inference", "serve", "api", "cli",
)  # fmt: skip
"""Rooms from the ground up: each may use itself and those before it."""

EXCEPTIONS = {("__init__.py", "api"), ("__init__.py", "inference"), ("__main__.py", "cli")}
"""The package's own front doors."""


def room(module: str) -> str:
    """`kinesics.engine.fit` -> engine; `kinesics` itself has no name."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def module_of(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> set[str]:
    """Every module that a file imports, at its top, inside functions or for types only."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            # `from kinesics.data import cache` may name a module
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def own(path: Path) -> set[str]:
    """The package's own modules among them, as far as they are modules."""
    modules = {module_of(file) for file in FILES}
    return {name for name in imports(path) if name in modules and name != "kinesics"}


@pytest.mark.parametrize("name", NAMES)
def test_imports_go_downwards(name: str) -> None:
    mine = room(module_of(SOURCE / name))
    for module in own(SOURCE / name):
        other = room(module)
        if mine in FREE:
            assert other in FREE, f"{name} imports {module}"
        elif (name, other) not in EXCEPTIONS and other not in FREE:
            assert mine in ORDER, f"{name} is in no known room"
            assert other in ORDER, f"{module} is in no known room"
            assert ORDER.index(other) <= ORDER.index(mine), f"{name} imports {module}, which lies above it"


def test_rooms_are_all_known() -> None:
    found = {path.name.removesuffix(".py") for path in SOURCE.iterdir() if path.name != "__pycache__"}
    assert found - {"__init__", "__main__", "py.typed", "weights"} <= {*ORDER, *FREE}


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_system_imports_no_other_system(system: str) -> None:
    folder = SOURCE / "systems" / system
    assert (folder / "__init__.py").is_file(), "without it the folder is missing from the wheel"
    for path in folder.rglob("*.py"):
        foreign = {m for m in own(path) if m.startswith("kinesics.systems") and f"systems.{system}" not in m}
        assert foreign == set(), path


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith(("systems/", "cli/demo.py"))])
def test_no_system_is_known_by_name(name: str) -> None:
    """Not imported, and not written in code; docstrings and messages may give one as an example."""
    tree = ast.parse((SOURCE / name).read_text(encoding="utf-8"))
    assert not {m for m in own(SOURCE / name) if m.startswith("kinesics.systems.") and m != "kinesics.systems.recipe"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node.value in SYSTEMS:
            assert name.startswith("cli/"), f"{name}:{node.lineno} names the system {node.value}"


@pytest.mark.parametrize("name", NAMES)
def test_what_is_never_used(name: str) -> None:
    tree = ast.parse((SOURCE / name).read_text(encoding="utf-8"))
    forbidden = {"torchvision", "timm", "dill", "joblib", "cloudpickle", "shelve", "marshal"}
    # nn/weights.py names pickle's exception, which PyTorch's safe loader raises
    forbidden |= set() if name == "nn/weights.py" else {"pickle"}
    assert not {module.split(".")[0] for module in imports(SOURCE / name)} & forbidden
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        assert called not in ("eval", "exec", "compile", "__import__", "os.system"), f"{name}:{node.lineno}"
        assert called.split(".")[-1] not in ("Unpickler", "loads_pickle") and called != "pickle.load", name
        settings = {word.arg: ast.unparse(word.value) for word in node.keywords}
        assert settings.get("shell") != "True", f"{name}:{node.lineno}"
        if called == "torch.load":
            assert settings.get("weights_only") == "True", f"{name}:{node.lineno}"
        if called in ("np.load", "numpy.load"):
            assert settings.get("allow_pickle") == "False", f"{name}:{node.lineno}"
        if called.startswith("yaml."):
            assert called in ("yaml.safe_load", "yaml.safe_dump"), f"{name}:{node.lineno}"
        if called in ("pd.read_pickle", "np.frompyfunc"):
            raise AssertionError(f"{name}:{node.lineno}")


@pytest.mark.parametrize("name", NAMES)
def test_files_are_short_and_say_what_they_are(name: str) -> None:
    text = (SOURCE / name).read_text(encoding="utf-8")
    assert len(text.splitlines()) <= (400 if name == "engine/fit.py" else 500)
    assert Path(name).stem not in ("utils", "util", "helpers", "misc", "common")
    if not text:
        return
    tree = ast.parse(text)
    assert ast.get_docstring(tree), f"{name} has no docstring"
    if name != "__main__.py" and len(tree.body) > 1:
        assert "from __future__ import annotations" in text
    assert not any(word in text for word in ("TODO", "FIXME", "XXX"))


def public(body: list[ast.stmt], inside: str = "") -> list[tuple[str, bool]]:
    """Every public class and function, and the methods of public classes: its name, and whether it is documented."""
    found = []
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            found.append((f"{inside}{node.name}", bool(ast.get_docstring(node))))
            if isinstance(node, ast.ClassDef):
                found += public(node.body, f"{node.name}.")
    return found


@pytest.mark.parametrize("name", NAMES)
def test_everything_public_is_documented(name: str) -> None:
    tree = ast.parse((SOURCE / name).read_text(encoding="utf-8"))
    assert [item for item, documented in public(tree.body) if not documented] == []


def test_the_median_file_is_short() -> None:
    lengths = sorted(len(path.read_text(encoding="utf-8").splitlines()) for path in FILES if path.stat().st_size)
    assert lengths[len(lengths) // 2] < 200


@pytest.mark.parametrize("name", NAMES)
def test_no_place_of_a_developers_machine_is_named(name: str) -> None:
    text = (SOURCE / name).read_text(encoding="utf-8")
    assert not any(place in text for place in ("/home/", "/Users/", "C:\\"))


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, kinesics, kinesics.cli; kinesics.cli.usage(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "kinesics.cli" in loaded
    assert not loaded & {"torch", "numpy", "pandas", "PIL", "sklearn", "scipy", "matplotlib", "rich", "jsonargparse"}


def test_what_the_package_offers() -> None:
    import kinesics

    assert all(callable(getattr(kinesics, name)) for name in ("train", "evaluate", "load"))
    with pytest.raises(AttributeError, match="has no attribute 'tain'"):
        _ = kinesics.tain
