"""STUDY.yaml: what is read, and how faults are answered."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from kinesics.errors import UserError
from kinesics.studies.compare.cells import cells, definition, settings_of
from kinesics.studies.compare.config import Study
from kinesics.studies.compare.reading import read_study
from kinesics.systems import SYSTEMS

FOLDER = Path(__file__).resolve().parents[3] / "configs" / "studies"
STUDIES = sorted(path for path in FOLDER.glob("*.yaml") if not path.stem.startswith("common"))
RIVALS = {"scn", "eac", "rul", "ldl_votes"}
GOOD: dict[str, Any] = {
    "title": "T",
    "data": "m.csv",
    "seeds": [0, 1],
    "common": {"fit": {"batch_size": 8}, "input.size": 32},
    "methods": {
        "a": {"system": "cross_entropy"},
        "b": {"system": "ldlva", "settings": {"task": {"k": 3}}, "federate": {"federation": {"rounds": 4}}},
    },
    "conditions": {
        "clean": {},
        "flip": {"noise": {"kind": "symmetric", "share": 0.3}, "n_train": 40, "silos": {"by": "dirichlet", "n": 3}},
    },
    "schedules": {"short": {"fit.epochs": 1, "federation.rounds": 2}},
    "baseline": "a",
}


def changed(*path_and_value: Any) -> dict[str, Any]:
    """`GOOD` with one value changed."""
    content: dict[str, Any] = yaml.safe_load(yaml.safe_dump(GOOD))
    *path, last, value = path_and_value
    place = content
    for key in path:
        place = place[key]
    place[last] = value
    return content


def study(folder: Path, content: object) -> Study:
    path = folder / "study.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
    return read_study(path)


def test_a_study_as_it_was_written(tmp_path: Path) -> None:
    found = study(tmp_path, GOOD)
    assert found.common == {"fit.batch_size": 8, "input.size": 32} and found.name == "study"
    assert found.methods["b"].settings == {"task.k": 3} and found.methods["b"].federate == {"federation.rounds": 4}
    assert found.conditions["flip"].noise.share == 0.3 and found.conditions["flip"].derived
    assert not found.conditions["clean"].derived
    listed = cells(found)
    assert len(listed) == len(set(listed)) == 8
    assert [cell.name for cell in listed[:2]] == ["clean-a-short-0", "clean-b-short-0"]
    assert [c.key for c in cells(found, {"condition": ["flip"], "seed": ["1"]})] == [
        ("flip", "a", "short", 1),
        ("flip", "b", "short", 1),
    ]


def test_the_more_special_setting_wins(tmp_path: Path) -> None:
    """common < schedule < method < condition; what federations need is kept from methods of one place."""
    content = changed("common", {"fit.epochs": 1, "fit.lr": 0.1, "input.size": 32, "network.topology": "nws"})
    content["schedules"] = {"short": {"fit.epochs": 2, "fit.lr": 0.2, "federation.rounds": 9}}
    content["methods"]["a"]["settings"] = {"fit.lr": 0.3}
    content["conditions"]["flip"]["settings"] = {"input.size": 40}
    content["conditions"]["flip"]["method_settings"] = {"b": {"fit.lr": 0.4}}
    found = study(tmp_path, content)
    settings = {cell.name: settings_of(found, cell) for cell in cells(found)}
    assert settings["flip-a-short-0"] == {"fit.epochs": 2, "fit.lr": 0.3, "input.size": 40}
    assert settings["clean-a-short-0"]["input.size"] == 32
    federated = settings["flip-b-short-0"]
    assert federated["fit.lr"] == 0.4 and federated["federation.rounds"] == 4  # the method's own, not the schedule's
    assert federated["silos.n"] == 3 and federated["network.topology"] == "nws" and federated["task.k"] == 3


def test_a_definition_changes_with_what_decides_a_cell(tmp_path: Path) -> None:
    cell = cells(study(tmp_path, GOOD))[0]

    def told(content: dict[str, Any]) -> str:
        return definition(study(tmp_path, content), cell)

    same = changed("title", "another")
    same["data"] = "elsewhere/m.csv"
    same["methods"]["b"]["settings"] = {}
    same["methods"]["a"]["settings"] = {"fit.threads": 3, "fit.device": "cpu"}
    assert told(same) == told(GOOD)
    for other in (
        changed("common", {"fit": {"batch_size": 16}, "input.size": 32}),
        changed("methods", "a", "preset", "smoothed"),
        changed("conditions", "clean", "n_train", 30),
        changed("schedules", "short", "fit.epochs", 2),
    ):
        assert told(other) != told(GOOD)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("title: [unclosed", "can't be read as YAML"),
        ("- a\n- b\n", "holds list"),
        ({**GOOD, "methds": {}}, "did you mean methods?"),
        ({k: v for k, v in GOOD.items() if k != "conditions"}, "conditions must be given"),
        (changed("seeds", [0, 0]), "seeds must be a list of different whole numbers"),
        (changed("seeds", "three"), "seeds must be"),
        (changed("methods", "a", {"sytem": "x"}), "did you mean system?"),
        (changed("methods", {"a b": {}}), "letters, digits"),
        (changed("conditions", "flip", "noise", "share", 30), "conditions.flip.noise.share must be a share"),
        (changed("conditions", "flip", "noise", "kind", "symetric"), "did you mean symmetric?"),
        (changed("conditions", "flip", "noise", {"kind": "class_dependent", "share": 0.1}), "transition must be given"),
        (changed("conditions", "flip", "n_train", -1), "n_train must be a whole number"),
        (changed("conditions", "flip", "sampling", "stratify"), "did you mean stratified?"),
        (changed("conditions", "flip", "class_map", {"a": "b"}), "no test_data"),
        (changed("conditions", "flip", "method_settings", {"c": {}}), "unknown key conditions.flip.method_settings.c"),
        (changed("baseline", "aa"), "baseline must be one of a, b"),
        (changed("common", {"seed": 3}), "common.seed can't be set here"),
        (changed("methods", "a", "settings", {"config": "x.yaml"}), "methods.a.settings.config can't be set here"),
        (changed("conditions", "flip", "settings", {"config": "x.yaml"}), "flip.settings.config can't be set here"),
        (changed("common", {"config": "none.yaml"}), "none.yaml: there is no such file"),
        (changed("methods", "a", "settings", {"classes": ["x"]}), "classes can't be set here"),
        (changed("methods", "a", "federate", {"fit.epochs": 1}), "a setting of federation, silos or network"),
        (changed("data", {"x": 3}), "data.x must be a manifest's path"),
        (changed("data", {"x": "a.csv", "y": "b.csv"}), "conditions.clean.data must be one of x, y"),
        (changed("schedules", {}), "schedules must be one or more"),
    ],
)
def test_faults_are_named(content: object, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        study(tmp_path, content)
    assert said in str(raised.value) and len(str(raised.value)) < 800


def test_flips_of_each_class_are_read(tmp_path: Path) -> None:
    rows = {"happy": {"sad": 0.25, "anger": 0.75}, "sad": {"anger": 1}, "anger": {"sad": 1}}
    noise = {"kind": "class_dependent", "share": 0.2, "transition": rows}
    found = study(tmp_path, changed("conditions", "flip", "noise", noise)).conditions["flip"].noise
    assert found.transition["happiness"] == {"sadness": 0.25, "anger": 0.75}
    for wrong in ({"sad": 0.5}, {"sad": -0.5, "anger": 1.5}, {"happiness": 1.0}):
        noise["transition"] = {**rows, "happy": wrong}
        with pytest.raises(UserError, match="transition.happy"):
            study(tmp_path, changed("conditions", "flip", "noise", noise))


@pytest.mark.parametrize("seed", range(10))
def test_broken_files_are_answered_with_user_errors(seed: int, tmp_path: Path) -> None:
    """Bytes cut, doubled or changed at random: a study or a `UserError`, nothing else."""
    rng = random.Random(seed)
    text = yaml.safe_dump(GOOD)
    for _ in range(25):
        place, until = sorted(rng.sample(range(len(text)), 2))
        piece = rng.choice(
            ["", ":", "- ", "[", "\x00", "!!python/object:os.system {}", "&a *a", "\ud7ff", "\t", "9" * 400]
        )
        broken = text[:place] + piece + (text[until:] if rng.random() < 0.5 else text[place:])
        with contextlib.suppress(UserError):
            study(tmp_path, broken)


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_published_studies_can_be_read(path: Path) -> None:
    found = read_study(path)
    assert found.title and found.text and len(found.seeds) >= 3
    for method in found.methods.values():
        assert method.system in {*SYSTEMS, *RIVALS}
        assert method.system not in SYSTEMS or method.preset in SYSTEMS[method.system].presets
    assert f"configs/studies/{path.name}" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_recipes_of_published_studies_are_sound(path: Path, tmp_path: Path) -> None:
    """Each registered method in each condition has settings that its system takes."""
    from kinesics.studies.compare.cells import recipe_of

    found = read_study(path)
    seen = set()
    for cell in cells(found, {"seed": ["0"]}):
        kind = (cell.method, tuple(sorted(map(str, settings_of(found, cell).items()))))
        if found.methods[cell.method].system in SYSTEMS and kind not in seen:
            seen.add(kind)
            recipe = recipe_of(found, cell, Path("m.csv"), None, tmp_path)
            assert recipe.fit.epochs >= 1 and recipe.seed == 0
    assert seen


def test_a_name_that_stands_twice_is_refused(tmp_path: Path) -> None:
    text = yaml.safe_dump(GOOD, sort_keys=False)
    again = text.replace("  flip:\n", "  clean: {n_train: 8}\n  flip:\n")
    assert again != text
    with pytest.raises(UserError, match="clean stands twice, in lines"):
        study(tmp_path, again)
    with pytest.raises(UserError, match="n_train stands twice, in lines"):
        study(tmp_path, text.replace("  clean: {}\n", "  clean: {n_train: 8, n_train: 9}\n"))


def test_flips_without_a_share_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"conditions.flip.noise.share must be given where kind is symmetric"):
        study(tmp_path, changed("conditions", "flip", "noise", {"kind": "symmetric"}))
    assert study(tmp_path, changed("conditions", "flip", "noise", {"kind": "symmetric", "share": 0})).conditions
