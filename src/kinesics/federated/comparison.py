"""Finished federations side by side: what each reached, and how soon by the modelled clock."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from kinesics.engine.metric_names import describe
from kinesics.engine.run import Run
from kinesics.errors import UserError
from kinesics.federated.clock_figures import Line, error_of

_NEEDED = ("round", "compute_s", "modelled_s", "message_bits")
_PLACE = ("out", "data", "seed", "fit.threads", "fit.device")
"""Settings that don't make runs different methods; the data are compared by their fingerprint."""


@dataclass(frozen=True)
class Finished:
    """A finished federation as its run directory tells it.

    Args:
        name: its folder, as given.
        settings: config.yaml, nested names joined by dots, without what only says where and by which seed.
        seed: of the run.
        split: that it was judged by.
        judged: the path and the truth of every sample of that split.
        metric: that picks models.
        better: +1 where higher is better, -1 where lower is.
        alone: mean of the silos' own models.
        history: a row each judged round: round, compute_s, modelled_s, message_bits, value, error.
    """

    name: str
    settings: dict[str, Any]
    seed: int
    split: str
    judged: pd.DataFrame
    metric: str
    better: int
    alone: float
    history: pd.DataFrame

    @property
    def way(self) -> str:
        """The overlay of peers, or what stands in its place."""
        mode = self.settings["federation.mode"]
        return str(self.settings["network.overlay"]) if mode == "dfl" else {"sfl": "star", "cll": "one place"}[mode]

    def seconds_to(self, level: float) -> float:
        """Modelled seconds at the first judged round with an error of at most `level`; NaN where there is none."""
        there = self.history[self.history["error"] <= level]
        return float(there["modelled_s"].iloc[0]) if len(there) else float("nan")


def read_federation(folder: str | os.PathLike[str]) -> Finished:
    """Read a run directory that `kinesics federate` wrote.

    Raises:
        UserError: files that are missing, damaged or of another kind of run, or an unfinished run.
    """
    run = Run(Path(folder))
    content = run.read_json("run.json")
    config = _config(run)
    if "silos" not in content or "federation" not in config:
        raise UserError(
            f"{run.folder} is not a federation: it was not made by kinesics federate", hint="leave it out, or federate"
        )
    if content.get("status") != "finished":
        raise UserError(f"{run.folder} is not finished", hint=f"kinesics federate --resume {run.folder}")
    try:
        alone, last = content["silos_alone"], content["last"]
        split = next(name for name in ("test", "valid") if name in last)
        metric, mean, seed = str(alone["metric"]), float(alone["mean"]), int(content["seed"])
        settings = _flat(config)
        fingerprint = content["data"]["fingerprint"]
        better = int(alone.get("better", describe(metric).better))
        if settings["federation.mode"] not in ("dfl", "sfl", "cll") or "network.overlay" not in settings:
            raise KeyError("federation.mode")
    except (KeyError, TypeError, ValueError, StopIteration, AttributeError) as error:
        raise UserError(f"{run.folder}: run.json and config.yaml don't describe a federation: {error!r}") from error
    if better not in (-1, 1):
        raise UserError(f"{run.folder}/run.json does not say whether a higher or a lower {metric} is better")
    if settings["federation.mode"] != "dfl":
        del settings["network.overlay"]  # nobody mixes over it
    settings = {name: value for name, value in settings.items() if name not in _PLACE}
    settings["data"] = fingerprint
    return Finished(
        str(folder), settings, seed, split, _judged(run, split), metric, better, mean,
        _history(run, f"{split}/{metric}", better),
    )  # fmt: skip


def check_comparable(runs: Sequence[Finished]) -> None:
    """Make sure that scores of the runs may stand side by side.

    Raises:
        UserError: fewer than two, one given twice, other metrics, or judged on other samples.
    """
    if len(runs) < 2:
        raise UserError(f"a comparison needs two runs or more, got {len(runs)}")
    first = runs[0]
    seen: dict[Path, str] = {}
    for run in runs:
        if (place := Path(run.name).resolve()) in seen:
            raise UserError(f"{run.name} is given twice")
        seen[place] = run.name
        if (run.metric, run.better) != (first.metric, first.better):
            raise UserError(
                f"{first.name} is judged by {first.metric}, {run.name} by {run.metric}",
                hint="compare runs of systems that learn the same",
            )
        if run.split != first.split or not run.judged.equals(first.judged):
            raise UserError(
                f"{first.name} and {run.name} were judged on different samples: {len(first.judged)} of {first.split}, "
                f"{len(run.judged)} of {run.split}" + _first_difference(first.judged, run.judged),
                hint="their scores say nothing of each other; give all manifests the same test rows",
            )


def common_level(runs: Sequence[Finished]) -> float:
    """The lowest error that every run reaches: the highest of the runs' lowest errors over their judged rounds."""
    return max(float(run.history["error"].min()) for run in runs)


def results(runs: Sequence[Finished]) -> list[dict[str, Any]]:
    """A row each run, as compare.csv holds them."""
    level, labels, rows = common_level(runs), line_labels(runs), []
    for run, label in zip(runs, labels, strict=True):
        last = run.history.iloc[-1]
        rows.append(
            {
                "run": run.name,
                "line": label,
                "system": run.settings["system"],
                "mode": run.settings["federation.mode"],
                "overlay": run.way,
                "seed": run.seed,
                "rounds": int(last["round"]),
                run.metric: float(last["value"]),
                "own_models": run.alone,
                "modelled_s": float(last["modelled_s"]),
                "level": level,
                "modelled_s_to_level": run.seconds_to(level),
                "message_bits": float(last["message_bits"]),
            }
        )
    return rows


def clock_rows(runs: Sequence[Finished]) -> list[dict[str, Any]]:
    """A row each run and judged round, as clock.csv holds them."""
    rows: list[dict[str, Any]] = []
    for run, label in zip(runs, line_labels(runs), strict=True):
        for record in run.history.to_dict("records"):
            rows.append({"run": run.name, "line": label, "seed": run.seed} | {str(k): v for k, v in record.items()})
    return rows


def lines(runs: Sequence[Finished]) -> list[Line]:
    """A line each group of runs that differ in their seed only, in the order of their first runs.

    Raises:
        UserError: such runs have no judged round in common.
    """
    groups: dict[str, list[Finished]] = {}
    for run, label in zip(runs, line_labels(runs), strict=True):
        groups.setdefault(label, []).append(run)
    found = []
    for label, members in groups.items():
        together = pd.concat([run.history for run in members]).groupby("round")
        table = together.agg({"modelled_s": "mean", "error": ["mean", "min", "max", "size"]})
        table = table[table["error", "size"] == len(members)]  # rounds that all of them were judged at
        if table.empty:
            names = ", ".join(run.name for run in members)
            raise UserError(f"{names} have the same settings, but no judged round in common")
        time, mean, least, most = (
            table[column].to_numpy(dtype=float)
            for column in (("modelled_s", "mean"), ("error", "mean"), ("error", "min"), ("error", "max"))
        )
        found.append(Line(label, time, mean, least, most, len(members)))
    return found


def line_labels(runs: Sequence[Finished]) -> list[str]:
    """A label each run: its system, mode and overlay; runs that differ in more than the seed get different ones."""
    plain = [f"{run.settings['system']}, {run.settings['federation.mode']}, {run.way}" for run in runs]
    labels = []
    for run, label in zip(runs, plain, strict=True):
        alike = [other.settings for other, same in zip(runs, plain, strict=True) if same == label]
        names = dict.fromkeys(name for settings in alike for name in settings)
        told = [
            f"{name.rpartition('.')[2]} {_short(run.settings.get(name))}"
            for name in names
            if any(settings.get(name) != alike[0].get(name) for settings in alike)
        ]
        labels.append(", ".join([label, *told]))
    return labels


def _short(value: Any) -> str:
    """A setting in a label; of a fingerprint, its first digits."""
    return str(value)[:6] if isinstance(value, str) and len(value) == 64 else str(value)


def _config(run: Run) -> dict[str, Any]:
    path = run.folder / "config.yaml"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing", hint="is this a run directory?") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{path} can't be read: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds {type(content).__name__}, expected settings")
    return content


def _flat(settings: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested settings by names joined with dots."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= _flat(value, f"{before}{name}.") if isinstance(value, Mapping) else {f"{before}{name}": value}
    return found


def _table(run: Run, name: str, needed: Sequence[str], text: bool = False) -> pd.DataFrame:
    path = run.folder / name
    try:
        table = pd.read_csv(path, dtype=str if text else None, keep_default_na=not text)
    except FileNotFoundError:
        raise UserError(f"{path} is missing", hint="is this a finished federation?") from None
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise UserError(f"{path} can't be read as CSV: {error}") from error
    if missing := [column for column in needed if column not in table]:
        raise UserError(f"{path} has no column {', '.join(missing)}")
    if not len(table):
        raise UserError(f"{path} has no rows")
    return table


def _history(run: Run, column: str, better: int) -> pd.DataFrame:
    table = _table(run, "metrics.csv", (*_NEEDED, column))
    try:
        numbers = table[[*_NEEDED, column]].astype(float).rename(columns={column: "value"})
    except ValueError as error:
        raise UserError(f"{run.folder}/metrics.csv: {error}") from error
    numbers["error"] = error_of(numbers["value"].to_numpy(dtype=float), better)
    clocks = numbers[list(_NEEDED)].to_numpy()
    if not np.isfinite(clocks).all() or (np.diff(clocks[:, 0]) <= 0).any() or (np.diff(clocks[:, 2]) < 0).any():
        raise UserError(f"{run.folder}/metrics.csv: rounds and clocks must be numbers that go up")
    if not np.isfinite(numbers["error"]).any():
        raise UserError(f"{run.folder}/metrics.csv: {column} is a number in no round")
    return numbers.astype({"round": int})


def _judged(run: Run, split: str) -> pd.DataFrame:
    """Path and truth of the judged samples, as text."""
    table = _table(run, "predictions.csv", ("path", "split"), text=True)
    truth = [name for name in ("label", "target") if name in table]
    if not truth:
        raise UserError(f"{run.folder}/predictions.csv has neither a column label nor target")
    return table.loc[table["split"] == split, ["path", *truth]].sort_values("path").reset_index(drop=True)


def _first_difference(one: pd.DataFrame, other: pd.DataFrame) -> str:
    if list(one.columns) != list(other.columns):
        return f" ({', '.join(one.columns)} against {', '.join(other.columns)})"
    apart = sorted(set(map(tuple, one.to_numpy())) ^ set(map(tuple, other.to_numpy())))
    return f" (first difference: {', '.join(apart[0])})" if apart else ""
