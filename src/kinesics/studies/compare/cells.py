"""The cells of a study, and the recipe that each one trains by."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kinesics.engine.config import Recipe
from kinesics.engine.session import WHERE_IT_RUNS
from kinesics.errors import UserError
from kinesics.federated.config import FederatedRecipe, add_flags
from kinesics.studies.compare.config import Condition, Study
from kinesics.systems import get_system
from kinesics.systems.recipe import make_recipe

KEY = ("condition", "method", "schedule", "seed")
"""What a cell is known by; the first columns of results.csv."""

CellKey = tuple[str, str, str, int]
"""Condition, method, schedule and seed."""

_FEDERATED = ("federation", "silos", "network")


@dataclass(frozen=True, order=True)
class Cell:
    """One training of a study."""

    condition: str
    method: str
    schedule: str
    seed: int

    @property
    def name(self) -> str:
        """Of its run directory."""
        return "-".join((self.condition, self.method, self.schedule, str(self.seed)))

    @property
    def key(self) -> CellKey:
        """As `KEY` names it."""
        return self.condition, self.method, self.schedule, self.seed


def cells(study: Study, only: Mapping[str, Sequence[str]] | None = None) -> list[Cell]:
    """Every cell: schedule by schedule and seed by seed, so that a study that is stopped early compares all methods.

    Args:
        study: read.
        only: "condition", "method", "schedule" or "seed" -> the names that are wanted.

    Raises:
        UserError: `only` has a word or a name that the study lacks.
    """
    known = {
        "condition": list(study.conditions), "method": list(study.methods), "schedule": list(study.schedules),
        "seed": [str(seed) for seed in study.seeds],
    }  # fmt: skip
    for word, names in (only or {}).items():
        _known(f"--only {word}=...", word, list(known))
        for name in names:
            _known(f"--only {word}={name}", name, known[word])
    chosen = {word: [name for name in names if name in (only or {}).get(word, names)] for word, names in known.items()}
    return [
        Cell(condition, method, schedule, int(seed))
        for schedule in chosen["schedule"]
        for seed in chosen["seed"]
        for condition in chosen["condition"]
        for method in chosen["method"]
    ]


def _known(flag: str, name: str, accepted: Sequence[str]) -> None:
    if name not in accepted:
        close = difflib.get_close_matches(name, accepted, n=1)
        raise UserError(
            f"{flag}: the study has no {name!r}; it has {', '.join(accepted)}",
            hint=f"did you mean {close[0]}?" if close else None,
        )


def settings_of(study: Study, cell: Cell) -> dict[str, Any]:
    """The cell's recipe settings by dotted name: recipe file < common < schedule < method < condition.

    What concerns federations is left out of methods that are trained in one place.
    """
    method, condition = study.methods[cell.method], study.conditions[cell.condition]
    found = {
        **method.config, **study.common, **study.schedules[cell.schedule], **method.settings, **(method.federate or {}),
        **condition.settings,
        **{f"silos.{name}": value for name, value in condition.silos.items()},
        **{f"network.{name}": value for name, value in condition.network.items()},
        **condition.method_settings.get(cell.method, {}),
    }  # fmt: skip
    if method.federate is None:
        found = {name: value for name, value in found.items() if name.split(".")[0] not in _FEDERATED}
    return found


def classes_of(study: Study, condition: Condition) -> list[str] | None:
    """The classes that a condition's methods share; None for those of the manifest."""
    found = {**study.common, **condition.settings}.get("classes")
    return [str(name) for name in found] if isinstance(found, list) else None


def recipe_of(
    study: Study, cell: Cell, data: Path, classes: Sequence[str] | None, out: Path, threads: int = 0
) -> Recipe:
    """What the cell trains by, checked as the command line checks it; a `FederatedRecipe` where it is federated.

    Args:
        study: read.
        cell: one of it.
        data: the cell's manifest.
        classes: that it is restricted to; None for the manifest's own.
        out: run directory.
        threads: where the study doesn't set `fit.threads`.

    Raises:
        UserError: an unknown system or preset, an unknown setting, a value out of range; the method is named.
    """
    method = study.methods[cell.method]
    settings = {"fit.threads": threads, **settings_of(study, cell)}
    if classes is not None:
        settings["classes"] = list(classes)
    settings |= {"preset": method.preset, "data": str(data), "out": str(out), "seed": cell.seed}
    try:
        for name in settings:
            for group in itertools.accumulate(name.split(".")[:-1], "{}.{}".format):
                if group in settings:
                    raise UserError(f"{group} must be settings by name; got {settings[group]!r}"[:400])
        if method.federate is None:
            return make_recipe(method.system, settings)
        return make_recipe(method.system, settings, FederatedRecipe, add_flags)
    except UserError as error:
        where = f"method {cell.method} in condition {cell.condition}, schedule {cell.schedule}"
        raise UserError(f"{where}: {error.message}", hint=error.hint) from error


def definition(study: Study, cell: Cell) -> str:
    """Twelve hex digits that change with what the study says of the cell, wherever its data lie and it is run, and with
    the edition of its system."""
    condition = dataclasses.asdict(study.conditions[cell.condition])
    for name in ("text", "settings", "method_settings", "silos", "network"):
        del condition[name]
    for name in ("data", "test_data"):
        condition[name] = Path(condition[name]).name
    method = study.methods[cell.method]
    settings = {name: value for name, value in settings_of(study, cell).items() if name not in WHERE_IT_RUNS}
    content = {
        "system": method.system, "preset": method.preset, "federated": method.federate is not None,
        "settings": settings, "condition": condition, "seed": cell.seed,
    }  # fmt: skip
    if (edition := get_system(method.system).task_class.edition) > 1:  # rows from before there were editions are of 1
        content["edition"] = edition
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
