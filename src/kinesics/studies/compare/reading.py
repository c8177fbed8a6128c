"""STUDY.yaml -> `Study`, every value checked; a complaint names the key, what was got and what is accepted."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from kinesics.data.reading import as_class
from kinesics.errors import UserError
from kinesics.files import load_yaml
from kinesics.studies.compare.config import NOISE_KINDS, SAMPLINGS, Condition, Method, Noise, Settings, Study

_NAME = re.compile(r"[A-Za-z0-9_.]+\Z")
_OURS = ("system", "preset", "data", "out", "seed", "config")
"""Recipe settings that the study decides itself; recipe files are named by `common` and methods, beside `settings`."""


def read_study(path: str | Path) -> Study:
    """Read a study.

    Raises:
        UserError: the file can't be read, a key is unknown or missing, a value is of the wrong kind or out of range.
    """
    source = Path(path)
    content = _Reader(source, "").read_yaml(source)
    read = _Reader(source, "")
    read.keys(content, [f.name for f in dataclasses.fields(Study) if f.name != "name"])
    for name in ("title", "methods", "conditions"):
        if not content.get(name):
            raise read.fault(name, content.get(name), "given")
    methods = {name: _method(part, read.at(f"methods.{name}")) for name, part in _named(content, "methods", read)}
    conditions = {
        name: _condition(part, read.at(f"conditions.{name}"), methods)
        for name, part in _named(content, "conditions", read)
    }
    given: dict[str, Any] = {"methods": methods, "conditions": conditions}
    for name in ("title", "text", "source", "out"):
        given[name] = read.text(content, name)
    given["data"] = _data(content.get("data"), read)
    given["seeds"] = _seeds(content.get("seeds", [0, 1, 2]), read)
    given["common"] = _common(content.get("common"), read.at("common"))
    if "schedules" in content:
        given["schedules"] = {
            name: read.at(f"schedules.{name}").settings(part) for name, part in _named(content, "schedules", read)
        }
    given["baseline"] = read.text(content, "baseline") or next(iter(methods))
    read.one_of("baseline", given["baseline"], methods)
    study = Study(name=source.stem, **given)
    for name, condition in conditions.items():
        _check_data(study, condition, read.at(f"conditions.{name}"))
    return study


class _Reader:
    """Checks the values under one key of the file.

    Args:
        path: of the file, for messages.
        where: the dotted key.
    """

    def __init__(self, path: Path, where: str) -> None:
        self.path, self.where = path, where

    def at(self, where: str) -> _Reader:
        return _Reader(self.path, where)

    def key(self, name: str) -> str:
        return f"{self.where}.{name}".strip(".")

    def fault(self, name: str, got: object, expected: str, hint: str | None = None) -> UserError:
        return UserError(f"{self.path}: {self.key(name)} must be {expected}; got {got!r}"[:400], hint=hint)

    def read_yaml(self, path: Path) -> dict[str, Any]:
        try:
            content = load_yaml(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(f"{path}: there is no such file") from None
        except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
            told = " ".join(str(error).split())[:300]
            raise UserError(f"{path} can't be read as YAML: {told}") from error
        if not isinstance(content, dict):
            raise UserError(f"{path} holds {type(content).__name__}, expected settings by name")
        return content

    def keys(self, content: Mapping[Any, Any], known: Iterable[str]) -> None:
        accepted = list(known)
        for name in content:
            if name not in accepted:
                close = difflib.get_close_matches(str(name), accepted, n=1)
                raise UserError(
                    f"{self.path}: unknown key {self.key(str(name))}; known: {', '.join(accepted)}"[:600],
                    hint=f"did you mean {close[0]}?" if close else None,
                )

    def one_of(self, name: str, got: object, accepted: Iterable[str]) -> None:
        names = list(accepted)
        if got not in names:
            close = difflib.get_close_matches(str(got), names, n=1)
            raise self.fault(name, got, f"one of {', '.join(names)}", f"did you mean {close[0]}?" if close else None)

    def mapping(self, name: str, got: object) -> dict[str, Any]:
        if got is None:
            return {}
        if not isinstance(got, Mapping):
            raise self.fault(name, got, "settings by name")
        return {str(key): value for key, value in got.items()}

    def text(self, content: Mapping[str, Any], name: str) -> str:
        got = content.get(name)
        if got is None:
            return ""
        if not isinstance(got, str):
            raise self.fault(name, got, "text")
        return got.strip()

    def settings(self, got: object, refused: Iterable[str] = _OURS) -> dict[str, Any]:
        """Nested or dotted settings as dotted ones."""
        found = flat(self.at(self.where).mapping("", got) if got is not None else {})
        for name in found:
            if name.split(".")[0] in refused:
                raise UserError(f"{self.path}: {self.key(name)} can't be set here; the study sets it for every cell")
        return found


def flat(settings: Mapping[Any, Any], before: str = "") -> dict[str, Any]:
    """Nested settings by names joined with dots."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= flat(value, f"{before}{name}.") if isinstance(value, Mapping) else {f"{before}{name}": value}
    return found


def _named(content: Mapping[str, Any], key: str, read: _Reader) -> list[tuple[str, dict[str, Any]]]:
    """The parts of methods, conditions or schedules, whose names become parts of file names."""
    parts = read.mapping(key, content[key])
    if not parts:
        raise read.fault(key, content[key], "one or more, by name")
    for name in parts:
        if not _NAME.match(name):
            raise read.fault(f"{key}.{name}", name, "named with letters, digits, _ and . only")
    return [(name, read.mapping(f"{key}.{name}", part)) for name, part in parts.items()]


def _seeds(got: object, read: _Reader) -> tuple[int, ...]:
    whole = isinstance(got, list) and got and all(isinstance(s, int) and not isinstance(s, bool) for s in got)
    if not whole or min(got) < 0 or len(set(got)) != len(got):  # type: ignore[call-overload,arg-type]
        raise read.fault("seeds", got, "a list of different whole numbers from 0 on, such as [0, 1, 2]")
    return tuple(got)  # type: ignore[arg-type]


def _data(got: object, read: _Reader) -> dict[str, str]:
    if got is None or isinstance(got, str):
        return {"": got} if got else {}
    found = read.mapping("data", got)
    for name, value in found.items():
        if not isinstance(value, str) or not value:
            raise read.fault(f"data.{name}", value, "a manifest's path")
    return found


def _recipe(got: object, read: _Reader) -> dict[str, Any]:
    """Settings out of the YAML recipe that `config` names, from the study's own folder."""
    if got is None:
        return {}
    if not isinstance(got, str):
        raise read.fault("config", got, "the path of a YAML recipe")
    content = flat(read.read_yaml(read.path.parent / got))
    return {name: value for name, value in content.items() if name not in ("data", "out", "seed")}


def _common(got: object, read: _Reader) -> dict[str, Any]:
    content = read.at("").mapping("common", got)
    config = _recipe(content.pop("config", None), read)
    for name in ("system", "preset"):
        if name in config:
            raise read.fault("config", config[name], f"a recipe without {name}: every method has its own")
    return config | read.settings(content)


def _method(content: dict[str, Any], read: _Reader) -> Method:
    read.keys(content, [f.name for f in dataclasses.fields(Method)])
    config = _recipe(content.get("config"), read)
    named = read.text(content, "system") or str(config.pop("system", "")) or read.where.partition(".")[2]
    preset = read.text(content, "preset") or str(config.get("preset", "default"))
    config.pop("system", None)
    config.pop("preset", None)
    federate: Settings | None = None
    if "federate" in content:
        federate = read.at(read.key("federate")).settings(content["federate"])
        for name in federate:
            if name.split(".")[0] not in ("federation", "silos", "network"):
                raise read.fault(
                    f"federate.{name}", federate[name], "a setting of federation, silos or network",
                    "other settings go under `settings`",
                )  # fmt: skip
    settings = read.at(read.key("settings")).settings(content.get("settings"), (*_OURS, "classes"))
    return Method(named, preset, read.text(content, "text"), config, settings, federate)


def _condition(content: dict[str, Any], read: _Reader, methods: Mapping[str, Method]) -> Condition:
    read.keys(content, [f.name for f in dataclasses.fields(Condition)])
    given: dict[str, Any] = {
        name: read.text(content, name) for name in ("data", "text", "label_column", "test_label_column", "test_data")
    }
    given["truth_column"] = read.text(content, "truth_column") or "label"
    given["noise"] = _noise(read.mapping("noise", content.get("noise")), read.at(read.key("noise")))
    n_train = content.get("n_train", 0)
    if not isinstance(n_train, int) or isinstance(n_train, bool) or n_train < 0:
        raise read.fault("n_train", n_train, "a whole number of samples; 0 for all")
    given["n_train"] = n_train
    given["sampling"] = read.text(content, "sampling") or "random"
    read.one_of("sampling", given["sampling"], SAMPLINGS)
    classes = read.mapping("class_map", content.get("class_map"))
    if classes and not given["test_data"]:
        raise read.fault("class_map", classes, "left out where there is no test_data")
    for name, value in classes.items():
        if not isinstance(value, str):
            raise read.fault(f"class_map.{name}", value, "a class of the training data")
    given["class_map"] = {as_class(name): as_class(value) for name, value in classes.items()}
    given["settings"] = read.at(read.key("settings")).settings(content.get("settings"))
    by_method = read.mapping("method_settings", content.get("method_settings"))
    read.at(read.key("method_settings")).keys(by_method, methods)
    given["method_settings"] = {
        name: read.at(read.key(f"method_settings.{name}")).settings(part, (*_OURS, "classes"))
        for name, part in by_method.items()
    }
    for name in ("silos", "network"):
        given[name] = read.mapping(name, content.get(name))
    return Condition(**given)


def _noise(content: dict[str, Any], read: _Reader) -> Noise:
    read.keys(content, [f.name for f in dataclasses.fields(Noise)])
    share = content.get("share", 0.0)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        raise read.fault("share", share, "a share of the labels in [0, 1], such as 0.3 for 30 %")
    kind = read.text(content, "kind") or ("symmetric" if share else "none")
    read.one_of("kind", kind, NOISE_KINDS)
    if kind != "none" and "share" not in content:
        raise read.fault("share", None, f"given where kind is {kind}, such as 0.3 for 30 %")
    if kind == "none" and share:
        raise read.fault("share", share, "0 where kind is none")
    rows = read.mapping("transition", content.get("transition"))
    if bool(rows) != (kind == "class_dependent"):
        raise read.fault("transition", rows, "given exactly where kind is class_dependent")
    transition = {
        as_class(name): _row(name, read.mapping(f"transition.{name}", row), read) for name, row in rows.items()
    }
    return Noise(kind, float(share), transition)


def _row(name: str, row: dict[str, Any], read: _Reader) -> dict[str, float]:
    numbers = [v for v in row.values() if isinstance(v, int | float) and not isinstance(v, bool) and v >= 0]
    if len(numbers) != len(row) or abs(sum(numbers) - 1) > 1e-6:
        raise read.fault(f"transition.{name}", row, "shares of 0 or more that sum to 1")
    found = {as_class(other): float(value) for other, value in row.items()}
    if found.get(as_class(name)):
        raise read.fault(f"transition.{name}", row, f"without {name} itself: a flip changes the label")
    return found


def _check_data(study: Study, condition: Condition, read: _Reader) -> None:
    """Where the study names several manifests, a condition has to say which."""
    if not condition.data and len(study.data) > 1:
        raise read.fault("data", None, f"one of {', '.join(study.data)}")
