"""Recipes from flags, YAML or Python: one jsonargparse parser a system, built from the config dataclasses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ActionConfigFile, ArgumentError, ArgumentParser, Namespace, set_parsing_settings

from kinesics.engine.config import FitConfig, InputConfig, Recipe, require
from kinesics.engine.transfer import network_of
from kinesics.errors import UserError
from kinesics.files import load_yaml
from kinesics.systems import System, get_system

_FLAGS: tuple[tuple[str, Any, Any, str], ...] = (
    ("--data", str, None, "manifest (CSV or Parquet); kinesics data convert makes one"),
    ("--out", str, "", "run directory; empty chooses runs/SYSTEM-K with the first free K"),
    ("--seed", int, 0, "decides initial weights, order of samples, augmentation and splits"),
    (
        "--weights",
        str | None,
        None,
        "start from a run, a weights file or a shipped model's name; its network is the default",
    ),
    ("--classes", list[str] | None, None, "class names in label order, e.g. [happiness,sadness]; others are left out"),
)


Extend = Callable[[ArgumentParser], None]
"""Adds the flags of another verb to a system's parser."""


def recipe_parser(system: System, preset: str, extend: Extend | None = None) -> ArgumentParser:
    """The parser of `kinesics train SYSTEM`, its defaults set by `preset`; with `extend` that of another verb.

    Raises:
        UserError: the system has no such preset.
    """
    if preset not in system.presets:
        close = get_close_matches(preset, system.presets, n=1, cutoff=0.4)
        raise UserError(
            f"{system.name} has no preset {preset!r}; it has {', '.join(system.presets)}",
            hint=f"did you mean {close[0]}?" if close else None,
        )
    # The help text of a flag is the string under its config field.
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = ArgumentParser(
        prog=f"kinesics train {system.name}", description=system.summary, exit_on_error=False, allow_abbrev=False
    )
    parser.add_argument("--config", action=ActionConfigFile, help="YAML recipe; later flags override it")
    parser.add_argument("--system", type=str, default=system.name, help="name of the system")
    parser.add_argument("--preset", type=str, default=preset, help=f"one of {', '.join(system.presets)}")
    for flag, kind, default, text in _FLAGS:
        parser.add_argument(flag, type=kind, default=default, help=text)
    parser.add_class_arguments(InputConfig, "input")
    parser.add_class_arguments(FitConfig, "fit")
    parser.add_class_arguments(system.task_class.config_class, "task")
    if extend is not None:
        extend(parser)
    parser.set_defaults(dict(system.presets[preset]))
    return parser


def parse_recipe(
    system_name: str | None,
    arguments: Sequence[str],
    kind: type[Recipe] = Recipe,
    extend: Extend | None = None,
) -> Recipe:
    """A recipe from command-line arguments (without the system's name).

    Args:
        system_name: None reads it from the config file.
        arguments: flags.
        kind: `Recipe`, or a class with more fields, for which `extend` adds the flags.
        extend: see `recipe_parser`.

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
    asked = _flag_values(arguments, "--preset")
    preset = str(asked[-1] if asked else content.get("preset") or "default")
    parser = recipe_parser(get_system(str(name)), preset, extend)
    _check_flags(parser, arguments)
    weights = _flag_values(arguments, "--weights")
    _follow_weights(parser, weights[-1] if weights else content.get("weights"))
    return _parse(parser, str(name), preset, lambda: parser.parse_args(list(arguments)), kind)


def make_recipe(
    system_name: str,
    settings: Mapping[str, Any],
    kind: type[Recipe] = Recipe,
    extend: Extend | None = None,
) -> Recipe:
    """A recipe from Python: dotted names as on the command line, e.g. {"data": "m.csv", "fit.epochs": 3}.

    Args:
        system_name: of a registered system.
        settings: by dotted name.
        kind: see `parse_recipe`.
        extend: see `recipe_parser`.

    Raises:
        UserError: an unknown name, a value of the wrong kind or out of range.
    """
    preset = str(settings.get("preset", "default"))
    parser = recipe_parser(get_system(system_name), preset, extend)
    _check_names(parser, system_name, settings)
    _follow_weights(parser, settings.get("weights"))
    nested: dict[str, Any] = {}
    for key, value in settings.items():
        place = nested
        *parents, last = key.split(".")
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = str(value) if isinstance(value, Path) else value
    return _parse(parser, system_name, preset, lambda: parser.parse_object(nested), kind)


def read_recipe(path: Path) -> Recipe:
    """The recipe in a YAML file, such as a run's config.yaml."""
    return parse_recipe(None, ["--config", str(path)])


def _parse(
    parser: ArgumentParser, system: str, preset: str, parse: Callable[[], Namespace], kind: type[Recipe]
) -> Recipe:
    try:
        # jsonargparse renamed it in 4.49 and drops the old name in 5
        instantiate = getattr(parser, "instantiate", None) or parser.instantiate_classes
        parsed = parse()
        for section in sorted({action.dest.split(".")[0] for action in parser._actions if "." in action.dest}):
            if not isinstance(parsed.get(section), Namespace):
                raise UserError(
                    f"{section} must hold settings by name, as in --{section}.NAME; got {parsed[section]!r}"
                )
        found: Namespace = instantiate(parsed)
    except UserError:
        raise
    except (ArgumentError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise UserError(_short(str(error)), hint=f"{parser.prog} --help lists the flags") from error
    if found.data is None:
        raise UserError("--data is missing: which manifest?", hint=f"{parser.prog} --data MANIFEST.csv")
    require(isinstance(found.seed, int) and found.seed >= 0, "--seed", found.seed, "a whole number, at least 0")
    if found.system != system:
        raise UserError(f"--system {found.system}, but {system} was asked for", hint=f"kinesics train {found.system}")
    given = {field.name: getattr(found, field.name) for field in fields(kind)}
    return kind(**{**given, "system": system, "preset": preset})


def _follow_weights(parser: ArgumentParser, source: Any) -> None:
    """Make the network that the weights are of the default."""
    known = {action.dest for action in parser._actions}
    told = network_of(str(source)) if source else {}
    parser.set_defaults({f"task.{name}": value for name, value in told.items() if f"task.{name}" in known})


def _check_names(parser: ArgumentParser, system: str, settings: Mapping[str, Any]) -> None:
    """Answer the first unknown setting with the closest known ones."""
    known = [action.dest for action in parser._actions]
    for name in settings:
        if name not in known:
            close = get_close_matches(name, known, n=3)
            raise UserError(
                f"{system} has no setting {name}",
                hint=f"did you mean {' or '.join(close)}?" if close else f"{parser.prog} --help lists them",
            )


def _check_flags(parser: ArgumentParser, arguments: Sequence[str]) -> None:
    """Answer the first unknown flag with the closest known ones."""
    known = [name for action in parser._actions for name in action.option_strings]
    for word in arguments:
        flag = word.split("=", 1)[0]
        if flag.startswith("--") and flag not in known:
            close = get_close_matches(flag, known, n=3)
            raise UserError(
                f"unknown flag {flag}",
                hint=f"did you mean {' or '.join(close)}?" if close else f"{parser.prog} --help lists the flags",
            )


def _short(message: str) -> str:
    """jsonargparse's message without its repeated lines."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return "\n  ".join(dict.fromkeys(lines))[:800]


def _flag_values(arguments: Sequence[str], flag: str) -> list[str]:
    found = []
    for place, word in enumerate(arguments):
        if word == flag and place + 1 < len(arguments):
            found.append(arguments[place + 1])
        elif word.startswith(flag + "="):
            found.append(word.split("=", 1)[1])
    return found


def _config_content(arguments: Sequence[str]) -> dict[str, Any]:
    """What the YAML files that --config names say, read ahead of parsing to learn the system and the preset."""
    content: dict[str, Any] = {}
    for path in _flag_values(arguments, "--config"):
        content |= _read_yaml(path)
    return content


def _read_yaml(path: str) -> dict[str, Any]:
    try:
        content = load_yaml(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"--config {path}: there is no such file") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"--config {path} can't be read as YAML: {_short(str(error))}") from error
    if not isinstance(content, dict):
        raise UserError(f"--config {path} holds {type(content).__name__}, expected settings by name")
    return content
