"""The run directory: what a training leaves behind, and reading it back.

config.yaml (complete), run.json (seed, commit, versions, machine, data fingerprint, preprocessing, label order),
metrics.csv, predictions.csv, samples.csv, model.safetensors + model.json (and model_last.*), report.html, checkpoints/.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from kinesics.engine.task import DataSpec, Task
from kinesics.errors import UserError
from kinesics.files import atomic_write, sha256_file
from kinesics.nn.weights import read_state, write_state
from kinesics.vision.crop import CropRule

FORMAT = 1
"""Version of model.json; a newer one is refused, older ones are read."""


@dataclass(frozen=True)
class Run:
    """A run directory.

    Args:
        folder: its path.
    """

    folder: Path

    @classmethod
    def find(cls, path: str | os.PathLike[str]) -> Run:
        """The run at `path`.

        Raises:
            UserError: there is no finished run there.
        """
        folder = Path(path)
        if folder.name == "model.json":
            folder = folder.parent
        if not (folder / "model.json").is_file():
            state = (
                "it was never finished: go on with kinesics train --resume" if (folder / "run.json").is_file() else ""
            )
            raise UserError(
                f"no trained model in {folder}: expected model.json and model.safetensors there",
                hint=state or "give the run directory that kinesics train wrote",
            )
        return cls(folder)

    @property
    def checkpoints(self) -> Path:
        """Folder of the resume state."""
        return self.folder / "checkpoints"

    def remove_halves(self) -> None:
        """Delete the halves of files that a killed process left in the folder."""
        for half in self.folder.glob(".*.tmp"):
            half.unlink(missing_ok=True)

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write folder/name atomically, keys in the given order."""
        with atomic_write(self.folder / name, "w") as stream:
            json.dump(content, stream, indent=2, allow_nan=True)
            stream.write("\n")

    def read_json(self, name: str) -> dict[str, Any]:
        """Read folder/name.

        Raises:
            UserError: missing, not JSON, or not a table.
        """
        path = self.folder / name
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(f"{path} is missing", hint="is this a run directory?") from None
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(f"{path} can't be read: {error}") from error
        if not isinstance(content, dict):
            raise UserError(f"{path} holds {type(content).__name__}, expected a JSON object")
        return content

    def data_fingerprint(self) -> str:
        """The fingerprint of the manifest that it was trained on, as run.json names it; "" where it names none.

        Raises:
            UserError: run.json is missing or damaged.
        """
        data = self.read_json("run.json").get("data")
        return str(data.get("fingerprint", "")) if isinstance(data, dict) else ""

    def write_table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write rows as CSV; columns in order of first appearance, floats in full precision."""
        columns = list(dict.fromkeys(key for row in rows for key in row))
        with atomic_write(self.folder / name, "w") as stream:
            writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)

    def write_model(self, task: Task, system: str, state: Mapping[str, Tensor], stem: str = "model") -> None:
        """Write weights and everything needed to rebuild the model: stem.safetensors, then stem.json."""
        weights = self.folder / f"{stem}.safetensors"
        write_state(weights, dict(state), {"format": "kinesics", "system": system})
        self.write_json(
            f"{stem}.json",
            {
                "format": FORMAT,
                "system": system,
                "config": dataclasses.asdict(task.config),
                "spec": dataclasses.asdict(task.spec),
                "calibration": task.calibration,
                "sha256": sha256_file(weights),
            },
        )


def load_model(run: Run, task_class_of: Callable[[str], type[Task]], stem: str = "model") -> tuple[Task, str]:
    """Rebuild a run's task with its weights, ready to predict.

    Args:
        run: a finished run.
        task_class_of: from a system's name to its `Task` class.
        stem: "model" (the kept weights) or "model_last".

    Returns:
        The task in evaluation mode on the CPU, and the system's name.

    Raises:
        UserError: damaged or foreign files.
    """
    content = run.read_json(f"{stem}.json")
    try:
        if content["format"] > FORMAT:
            raise UserError(
                f"{run.folder / stem}.json has format {content['format']}; this kinesics reads up to {FORMAT}",
                hint="update kinesics",
            )
        task_class = task_class_of(content["system"])
        fields = {item.name for item in dataclasses.fields(task_class.config_class)}
        config = task_class.config_class(**{k: v for k, v in content["config"].items() if k in fields})
        described = content["spec"]
        spec = DataSpec(
            **{
                **described,
                "classes": tuple(described["classes"]),
                "n_train": 0,
                "face": CropRule.of(described.get("face")),
            }
        )
        calibration = {str(key): float(value) for key, value in content["calibration"].items()}
        task = task_class.build(config, spec)
    except UserError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, OverflowError) as error:
        raise UserError(f"{run.folder / stem}.json is not a model description: {error!r}") from error
    weights = run.folder / f"{stem}.safetensors"
    state = read_weights(weights, content)
    if missing := sorted(task.shared_state().keys() - state.keys()):
        raise UserError(f"{weights} does not fit {stem}.json: it lacks {', '.join(missing[:5])}")
    try:
        task.load_shared_state(state)
    except (ValueError, RuntimeError) as error:
        raise UserError(f"{weights} does not fit {stem}.json: {error}") from error
    task.calibration = calibration
    task.eval()
    return task, content["system"]


def read_weights(path: Path, description: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a run's weights file.

    Args:
        path: .safetensors file.
        description: what the .json beside it says of it.

    Raises:
        UserError: the file is missing, or not the one that was described.
    """
    if path.is_file() and sha256_file(path) != description.get("sha256"):
        raise UserError(
            f"{path} is damaged: its bytes don't match the checksum in {path.stem}.json",
            hint="resume the run to write it again, or copy it anew",
        )
    return read_state(path)


def choose_folder(out: str, system: str) -> Path:
    """`out`, or the first free runs/SYSTEM-K."""
    if out:
        return Path(out)
    number = 1
    while Path("runs", f"{system}-{number}").exists():
        number += 1
    return Path("runs", f"{system}-{number}")


def write_config(run: Run, recipe: Any) -> None:
    """Write the complete recipe as config.yaml."""
    with atomic_write(run.folder / "config.yaml", "w") as stream:
        yaml.safe_dump(dataclasses.asdict(recipe), stream, sort_keys=False, width=110)


def environment() -> dict[str, Any]:
    """Versions, machine and commit: what run.json and `kinesics doctor` say of where a run was made."""
    packages = ("torch", "numpy", "pandas", "scipy", "scikit-learn", "pillow", "safetensors")
    return {
        "kinesics": _version("kinesics"),
        "git_commit": _commit(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in packages},
        "machine": {
            "system": f"{platform.system()} {platform.release()}",
            "processor": _processor(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        },
        "command": " ".join(sys.argv),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Commit of the source tree that this package runs from, "-dirty" after it where the package itself was changed;
    None when it was installed from a wheel."""
    here = Path(__file__).resolve()
    if not (here.parents[3] / ".git").exists():
        return None
    try:
        commit, changed = (
            subprocess.run(
                ["git", "-C", str(here.parents[1]), *words],
                capture_output=True, text=True, timeout=10, check=False,
            ).stdout.strip()
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "--", "."])
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return f"{commit}{'-dirty' if changed else ''}" if commit else None


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
