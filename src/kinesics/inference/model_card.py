"""The card that travels with a pushed model: what it is, from what, how good, and what it must not be taken for."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import yaml

from kinesics.engine.run import Run
from kinesics.engine.task import Task
from kinesics.errors import UserError

SHOWN = (
    "accuracy", "uar", "macro_f1", "nll", "ece", "ece_calibrated", "kl", "ccc_valence", "ccc_arousal", "rmse", "mae",
    "pearson", "ccc",
)  # fmt: skip
"""Scores that the card shows, as far as the run has them, in this order."""


def card_of(run: Run, task: Task, system: str, repo: str, terms: str | None = None, stem: str = "model") -> str:
    """README.md of a model's repository.

    It names the data by its manifest's file name, never by a path, and holds no row of it.

    Args:
        run: the folder of the model; run.json is used where there is one.
        task: the trained task.
        system: its name.
        repo: "owner/name".
        terms: licence of the weights; "other" by default.
        stem: of the model's files. What stem.md says (of a shipped model) takes the place of the measured part.
    """
    told = _run_json(run)
    # the weights that were not kept have a file of their own beside model.json
    kept = "selected" if "selected" in told and not (run.folder / "model_selected.json").is_file() else "last"
    front = {
        "library_name": "kinesics",
        "license": terms or "other",
        "tags": ["kinesics", system, task.answer_kind or "other"],
        "pipeline_tag": "image-classification" if task.spec.classes else "other",
    }
    parts = [
        f"---\n{yaml.safe_dump(front, sort_keys=False)}---",
        f"# {repo.split('/')[-1]}",
        f"A `{system}` model by kinesics, a Python toolbox: {_what(task)}",
        f"```console\nkinesics pull {repo} model\nkinesics predict model photo.png\n```",
        f"## Data and terms\n\n{_data(told)}\n\n{_terms(terms)}{_notice(run)}",
    ]
    own = run.folder / f"{stem}.md"
    if own.is_file():
        parts.append(own.read_text(encoding="utf-8").partition("\n\n")[2].strip())
    else:
        parts += [f"## Measured\n\n{_measured(told, kept)}", f"## Calibration\n\n{_calibration(task)}"]
        parts.append(f"## Limits\n\n{_limits(task)}")
    return "\n\n".join(parts) + "\n"


def _run_json(run: Run) -> dict[str, Any]:
    try:
        return run.read_json("run.json")
    except UserError:  # a shipped, imported or pulled model
        return {}


def _what(task: Task) -> str:
    spec = task.spec
    colour = "grey" if spec.channels == 1 else "colour"
    takes = f"one {colour} picture of {spec.size} x {spec.size} pixels"
    if spec.classes:
        return f"{takes} of a cropped face -> a distribution over {', '.join(spec.classes)}."
    return f"{takes} from a front camera -> one number."


def _data(told: dict[str, Any]) -> str:
    data = told.get("data")
    if not isinstance(data, dict):
        return "What it was trained on is not recorded here."
    name = Path(str(data.get("manifest", "unknown"))).name
    counts = ", ".join(f"{data[split]} {split}" for split in ("train", "valid", "test") if data.get(split))
    return (
        f"Manifest `{name}`: {counts} samples, fingerprint `{str(data.get('fingerprint', ''))[:16]}`, seed "
        f"{told.get('seed')}, preset `{told.get('preset')}`. No sample of it is in this repository."
    )


def _terms(terms: str | None) -> str:
    start = f"The weights are under {terms}." if terms else "The licence of the weights was not stated."
    return (
        f"{start} The terms of the data set that they were trained on apply beside it: ask its owners what is allowed."
    )


def _notice(run: Run) -> str:
    """The notice that lies beside the weights (of shipped models), word for word."""
    path = run.folder / "NOTICE"
    return f"\n\n```\n{path.read_text(encoding='utf-8').strip()}\n```" if path.is_file() else ""


def _measured(told: dict[str, Any], kept: str) -> str:
    judged = told.get(kept)
    splits = {name: judged[name] for name in ("valid", "test") if judged.get(name)} if isinstance(judged, dict) else {}
    names = [name for name in SHOWN if any(_finite(scores.get(name)) for scores in splits.values())]
    if not names:
        return "No scores are recorded with this model; measure it with `kinesics evaluate`."
    rows = [f"| score | {' | '.join(splits)} |", f"|---|{'---|' * len(splits)}"]
    for name in names:
        cells = (f"{s[name]:.4f}" if _finite(s.get(name)) else "" for s in splits.values())
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n\nValidation data chose the epoch and the temperature; scores on them are optimistic."


def _calibration(task: Task) -> str:
    if not task.spec.classes:
        return "Answers are numbers in the unit of the training targets, without an error bar."
    temperature = task.calibration.get("temperature")
    if temperature is None:
        return "Not calibrated: no temperature was fitted, confidences may be far from frequencies."
    return (
        f"One temperature, {temperature:.4f}, fitted on the validation split; probabilities are softmax(logits / "
        "temperature). It holds for pictures like those of that split only."
    )


def _limits(task: Task) -> str:
    if not task.spec.classes:
        return (
            "Trained on recordings of a driver or on drawn roads; it knows nothing of traffic and has no notion of "
            "what it has not seen. Not for the steering of a vehicle among people."
        )
    return (
        "It says what raters would call a face, not what a person feels. It errs more on rare classes and on people "
        "who are rare in its data; measure it on yours (`kinesics evaluate --by COLUMN`) before use. Not for decisions "
        "about people, nor for lie, health or hiring claims."
    )


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
