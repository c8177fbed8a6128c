"""Recipes: flags, YAML and Python give the same one; any YAML file gives a recipe or a sentence."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kinesics.engine.run import Run, write_config
from kinesics.errors import UserError
from kinesics.systems import SYSTEMS, get_system
from kinesics.systems.recipe import make_recipe, parse_recipe, read_recipe

PRESETS = [(name, preset) for name, system in SYSTEMS.items() for preset in system.presets]


@pytest.mark.parametrize(("system", "preset"), PRESETS)
def test_flags_python_and_yaml_agree(system: str, preset: str, tmp_path: Path) -> None:
    flags = ["--preset", preset, "--fit.lr", "1e-05", "--classes", "[a,b]", "--fit.milestones", "[3]"]
    parsed = parse_recipe(system, ["--data", "m.csv", *flags])
    given = {"data": Path("m.csv"), "preset": preset, "fit.lr": 1e-5, "classes": ["a", "b"], "fit.milestones": [3]}
    assert make_recipe(system, given) == parsed
    write_config(Run(tmp_path), parsed)
    assert read_recipe(tmp_path / "config.yaml") == parsed
    assert yaml.safe_load((tmp_path / "config.yaml").read_text()) == dataclasses.asdict(parsed)


@pytest.mark.parametrize(("system", "preset"), PRESETS)
def test_a_preset_sets_what_it_says_and_a_flag_overrides_it(system: str, preset: str) -> None:
    recipe = dataclasses.asdict(parse_recipe(system, ["--data", "m", "--preset", preset, "--fit.epochs", "3"]))
    for name, value in SYSTEMS[system].presets[preset].items():
        found: Any = recipe
        for part in name.split("."):
            found = found[part]
        assert found == (3 if name == "fit.epochs" else value), name
    assert recipe["preset"] == preset


def test_a_file_and_flags_together(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("system: ldlva\npreset: paper\ndata: m.csv\nfit:\n  epochs: 7\ntask:\n  k: 5\n")
    recipe = parse_recipe(None, ["--config", str(path), "--fit.epochs=9"])
    assert (recipe.system, recipe.preset, recipe.fit.epochs, recipe.task.k) == ("ldlva", "paper", 9, 5)
    assert recipe.task.neighbours == "forward" and recipe.fit.optimizer == "adam"  # the preset's
    other = tmp_path / "other.yaml"
    other.write_text("fit:\n  lr: 0.5\n")
    assert parse_recipe(None, ["--config", str(path), "--config", str(other)]).fit.lr == 0.5
    with pytest.raises(UserError, match="is for ldlva, but cross_entropy"):
        parse_recipe("cross_entropy", ["--config", str(path)])
    with pytest.raises(UserError, match="--system cross_entropy, but ldlva"):
        parse_recipe("ldlva", ["--data", "m.csv", "--system", "cross_entropy"])


def test_settings_of_another_system_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("system: cross_entropy\ndata: m.csv\ntask:\n  k: 5\n")
    with pytest.raises(UserError, match="k"):
        parse_recipe(None, ["--config", str(path)])


def test_unknown_names_are_answered_with_close_ones() -> None:
    for flags, said in (
        (["--fit.batchsize", "3"], "--fit.batch_size"),
        (["--input.augment.rotat=3"], "--input.augment.rotate"),
        (["--preset", "relase"], "did you mean release"),
        (["--preset", "xyz"], "default, paper, release"),
    ):
        with pytest.raises(UserError) as caught:
            parse_recipe("ldlva", ["--data", "m.csv", *flags])
        assert said in str(caught.value)
    with pytest.raises(UserError, match="did you mean ldlva"):
        get_system("ldlva2")
    with pytest.raises(UserError, match="known: " + ", ".join(SYSTEMS)):
        get_system("zzz")


def test_loading_yaml_makes_no_objects(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    target = tmp_path / "harm"
    path.write_text(f"system: ldlva\ndata: !!python/object/apply:os.mkdir ['{target}']\n")
    with pytest.raises(UserError):
        parse_recipe(None, ["--config", str(path)])
    assert not target.exists()


KEYS = ["system", "preset", "data", "out", "seed", "weights", "classes", "input", "fit", "task", "config"]
INNER = ["size", "epochs", "lr", "augment", "flip", "k", "backbone", "milestones", "calibration_hidden", "class_path"]
SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=12)
    | st.sampled_from(["ldlva", "cross_entropy", "paper", "${data}", "!!x", "~", "1e5", "[1", "a: b", "/", "\x00"])
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(INNER) | st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=6), VALUES, max_size=5), known=st.booleans())
def test_any_settings_give_a_recipe_or_a_sentence(content: dict[str, Any], known: bool, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    whole = {"system": "ldlva", "data": "m.csv", **content} if known else content
    path.write_text(yaml.safe_dump(whole), encoding="utf-8")
    try:
        recipe = read_recipe(path)
    except UserError as error:
        assert error.message
    else:
        assert recipe.system in SYSTEMS and recipe.seed >= 0


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 200), value=VALUES)
def test_any_value_of_any_setting_gives_a_recipe_or_a_sentence(place: int, value: Any, tmp_path: Path) -> None:
    whole = dataclasses.asdict(make_recipe("ldlva", {"data": "m.csv"}))
    places = [(part, name) for part in ("input", "fit", "task") for name in whole[part]]
    places += [(part,) for part in whole] + [("input", "augment", name) for name in whole["input"]["augment"]]
    *parents, name = places[place % len(places)]
    inside = whole
    for parent in parents:
        inside = inside[parent]
    inside[name] = value
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(whole), encoding="utf-8")
    try:
        read_recipe(path)
    except UserError as error:
        assert error.message


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace")))
def test_any_bytes_give_a_sentence(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError):
        read_recipe(path)


@pytest.mark.parametrize("text", ["[" * 3000, "&a [*a]", "a: &x [*x]", "{a: {b: {c: [", "fit: 3", "- 1", "?"])
def test_awkward_yaml(text: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(f"{text}\n")
    with pytest.raises(UserError):
        parse_recipe("ldlva", ["--data", "m.csv", "--config", str(path)])


def test_a_folder_or_nothing_in_place_of_a_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.yaml"):
        with pytest.raises(UserError, match="--config"):
            parse_recipe("ldlva", ["--data", "m.csv", "--config", str(path)])


@pytest.mark.parametrize("content", [
    '{"config": {"backbone": "resnet18", "stem": "imagenet"}}', '{"config": {"backbone": 5}}', '{"config": [1]}', "[]",
    "no json",
])  # fmt: skip
def test_the_network_of_the_weights_is_the_default(tmp_path, content):
    """Where they tell it; what is asked for counts more, and what is damaged is left to the reading of the weights."""
    (tmp_path / "model.json").write_text(content)
    given = {"data": "m.csv", "weights": str(tmp_path)}
    told = "imagenet" in content
    for recipe in (
        make_recipe("ldlva", given),
        parse_recipe("ldlva", ["--data", "m.csv", "--weights", str(tmp_path)]),
    ):
        assert recipe.task.backbone == ("resnet18" if told else "compact")
        assert recipe.task.stem == ("imagenet" if told else "auto")
    assert make_recipe("ldlva", {**given, "task.backbone": "resnet34"}).task.backbone == "resnet34"
    config = tmp_path / "recipe.yaml"
    config.write_text(f"weights: {tmp_path}\ndata: m.csv\n")
    assert parse_recipe("ldlva", ["--config", str(config)]).task.backbone == ("resnet18" if told else "compact")
    config.write_text(f"weights: {tmp_path}\ndata: m.csv\ntask:\n  backbone: compact_wide\n")
    assert parse_recipe("ldlva", ["--config", str(config)]).task.backbone == "compact_wide"
    assert make_recipe("fadnet", given).task is not None  # it has no such setting
