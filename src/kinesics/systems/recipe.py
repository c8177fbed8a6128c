"""Recipes from flags, YAML or Python: one jsonargparse parser a system, built from the config dataclasses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ActionConfigFile, ArgumentError, ArgumentParser, Namespace

from kinesics.engine.config import FitConfig, InputConfig, Recipe
from kinesics.errors import UserError
from kinesics.systems import System, get_system

_FLAGS: tuple[tuple[str, Any, Any, str], ...] = (
    ("--data", str, None, "manifest (CSV or Parquet); kinesics data convert makes one"),
    ("--out", str, "", "run directory; empty chooses runs/SYSTEM-K with the first free K"),
    ("--seed", int, 0, "decides initial weights, order of samples, augmentation and splits"),
    ("--weights", str | None, None, "start from a run directory, a weights file or a shipped model's name"),
    ("--classes", list[str] | None, None, "class names in label order, e.g. [happiness,sadness]; others are left out"),
)


def recipe_parser(system: System, preset: str) -> ArgumentParser:
    """The parser of `kinesics train SYSTEM`, its defaults set by `preset`.

    Raises:
        UserError: the system has no such preset.
    """
    if preset not in system.presets:
        raise UserError(f"{system.name} has no preset {preset!r}; it has {', '.join(system.presets)}")
    parser = ArgumentParser(prog=f"kinesics train {system.name}", description=system.summary, exit_on_error=False)
    parser.add_argument("--config", action=ActionConfigFile, help="YAML recipe; later flags override it")
    parser.add_argument("--system", type=str, default=system.name, help="name of the system")
    parser.add_argument("--preset", type=str, default=preset, help=f"one of {', '.join(system.presets)}")
    for flag, kind, default, text in _FLAGS:
        parser.add_argument(flag, type=kind, default=default, help=text)
    parser.add_class_arguments(InputConfig, "input")
    parser.add_class_arguments(FitConfig, "fit")
    parser.add_class_arguments(system.task_class.config_class, "task")
    parser.set_defaults(dict(system.presets[preset]))
    return parser


def parse_recipe(system_name: str | None, arguments: Sequence[str]) -> Recipe:
    """A recipe from command-line arguments (without the system's name).

    Raises:
        UserError: an unknown flag, a value of the wrong kind or out of range, an unreadable config file.
    """
    content = _config_content(arguments)
    name = system_name or content.get("system")
    if name is None:
        raise UserError(
            "which system? got neither a name nor a config file with `system:`",
            hint="kinesics train ldlva --data MANIFEST.csv",
        )
    if system_name and content.get("system") not in (None, system_name):
        raise UserError(f"the config file is for {content['system']}, but {system_name} was asked for")
    preset = _flag_value(arguments, "--preset") or content.get("preset") or "default"
    parser = recipe_parser(get_system(str(name)), str(preset))
    return _parse(parser, lambda: parser.parse_args(list(arguments)))


def make_recipe(system_name: str, settings: Mapping[str, Any]) -> Recipe:
    """A recipe from Python: dotted names as on the command line, e.g. {"data": "m.csv", "fit.epochs": 3}."""
    parser = recipe_parser(get_system(system_name), str(settings.get("preset", "default")))
    nested: dict[str, Any] = {}
    for key, value in settings.items():
        place = nested
        *parents, last = key.split(".")
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = str(value) if isinstance(value, Path) else value
    return _parse(parser, lambda: parser.parse_object(nested))


def read_recipe(path: Path) -> Recipe:
    """The recipe in a YAML file, such as a run's config.yaml."""
    return parse_recipe(None, ["--config", str(path)])


def _parse(parser: ArgumentParser, parse: Any) -> Recipe:
    try:
        found: Namespace = parser.instantiate_classes(parse())
    except UserError:
        raise
    except (ArgumentError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise UserError(_short(str(error)), hint=f"{parser.prog} --help lists the flags") from error
    if found.data is None:
        raise UserError("--data is missing: which manifest?", hint=f"{parser.prog} --data MANIFEST.csv")
    return Recipe(
        system=found.system, data=found.data, task=found.task, out=found.out, seed=found.seed, preset=found.preset,
        classes=found.classes, weights=found.weights, input=found.input, fit=found.fit,
    )  # fmt: skip


def _short(message: str) -> str:
    """jsonargparse's message without its repeated lines."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return "\n  ".join(dict.fromkeys(lines))[:800]


def _flag_value(arguments: Sequence[str], flag: str) -> str | None:
    for place, word in enumerate(arguments):
        if word == flag and place + 1 < len(arguments):
            return arguments[place + 1]
        if word.startswith(flag + "="):
            return word.split("=", 1)[1]
    return None


def _config_content(arguments: Sequence[str]) -> dict[str, Any]:
    """The YAML file that --config names, read ahead of parsing to learn its system and preset."""
    path = _flag_value(arguments, "--config")
    if path is None:
        return {}
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"--config {path}: there is no such file") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"--config {path} can't be read as YAML: {_short(str(error))}") from error
    if not isinstance(content, dict):
        raise UserError(f"--config {path} holds {type(content).__name__}, expected settings by name")
    return content
