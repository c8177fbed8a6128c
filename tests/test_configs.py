"""Every recipe in configs/ parses, is complete, and differs from its preset only where it is meant to."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml

from kinesics.errors import UserError
from kinesics.systems.recipe import parse_recipe

FOLDER = Path(__file__).resolve().parents[1] / "configs"
COMMON = FOLDER / "ferplus_common.yaml"
RECIPES = sorted(path for path in FOLDER.glob("*.yaml") if path != COMMON)

OWN_SETTINGS: dict[str, dict[str, Any]] = {
    "ldlva_rafdb_resnet50.yaml": {"task.stem": "imagenet"},
    "ldlva_rafdb_resnet18.yaml": {
        "task.backbone": "resnet18", "task.stem": "imagenet", "input.size": 224, "input.augment.crop_pad": 8,
        "fit.lr": 1e-3, "fit.milestones": [10, 20, 40],
    },
    "ldlva_affectnet_resnet18.yaml": {
        "task.backbone": "resnet18", "task.stem": "imagenet", "input.size": 224, "input.augment.crop_pad": 8,
        "fit.lr": 3e-4, "fit.milestones": [5, 10, 20], "fit.decay": 0.2, "task.uncertainty_momentum": 0.9,
        "task.class_weights": "balanced",
    },
}  # fmt: skip
"""Recipe -> what it sets otherwise than its preset, from the released code's settings for that experiment."""


def flat(content: Any, name: str = "") -> dict[str, Any]:
    """Nested settings by dotted name."""
    if not isinstance(content, dict):
        return {name: content}
    return {key: value for k, part in content.items() for key, value in flat(part, f"{name}.{k}".lstrip(".")).items()}


def written(path: Path) -> dict[str, Any]:
    return flat(yaml.safe_load(path.read_text(encoding="utf-8")))


def parsed(path: Path, *arguments: str) -> dict[str, Any]:
    return flat(dataclasses.asdict(parse_recipe(None, ["--config", str(path), "--data", "x.csv", *arguments])))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe_is_complete_and_means_what_it_says(path: Path) -> None:
    content, recipe = written(path), parsed(path)
    assert recipe["data"] == "x.csv"
    assert set(content) == set(recipe) - {"data", "out", "weights"}
    assert {name: recipe[name] for name in content} == content


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe_differs_from_its_preset_only_where_meant(path: Path) -> None:
    content = written(path)
    preset = flat(
        dataclasses.asdict(parse_recipe(content["system"], ["--data", "x.csv", "--preset", content["preset"]]))
    )
    own = {name: value for name, value in content.items() if preset[name] != value and name != "classes"}
    if path.name in OWN_SETTINGS:
        assert own == OWN_SETTINGS[path.name]
    else:
        assert not [name for name in own if name.startswith("task.")]


@pytest.mark.parametrize("system", ["cross_entropy", "ldlva", "scn", "eac", "rul", "ldl_votes"])
def test_ferplus_recipes_are_those_of_the_benchmark(system: str) -> None:
    """benchmarks/ferplus_noise.py trains with ferplus_common.yaml and the system's defaults."""
    benchmark = flat(dataclasses.asdict(parse_recipe(system, ["--config", str(COMMON), "--data", "x.csv"])))
    assert parsed(FOLDER / f"{system}_ferplus.yaml") == benchmark


def test_common_part_needs_a_system() -> None:
    with pytest.raises(UserError, match="which system"):
        parse_recipe(None, ["--config", str(COMMON), "--data", "x.csv"])


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_misspelt_setting_is_refused(path: Path, tmp_path: Path) -> None:
    wrong = tmp_path / path.name
    wrong.write_text(path.read_text(encoding="utf-8").replace("  epochs:", "  epoch:"))
    with pytest.raises(UserError, match="epoch"):
        parse_recipe(None, ["--config", str(wrong), "--data", "x.csv"])


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_commands_in_the_comments_name_the_recipe(path: Path) -> None:
    comments = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    commands = [line for line in comments if "kinesics train --config" in line]
    assert commands and all(f"configs/{path.name}" in line for line in commands)
