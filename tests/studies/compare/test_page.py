"""Which conditions make a curve against the share of flipped labels."""

from __future__ import annotations

from pathlib import Path

from kinesics.studies.compare.config import Condition, Noise
from kinesics.studies.compare.page import noise_curves
from kinesics.studies.compare.reading import read_study

STUDIES = Path(__file__).resolve().parents[3] / "configs" / "studies"


def test_only_conditions_that_differ_in_their_flips_are_joined() -> None:
    table1 = read_study(STUDIES / "ldlva_table1.yaml")
    assert noise_curves(table1.conditions) == [
        {f"{data}{share}": share / 100 for share in (10, 20, 30)} for data in ("affectnet", "rafdb", "sfew")
    ]
    ferplus = read_study(STUDIES / "ferplus_noise.yaml")
    assert noise_curves(ferplus.conditions) == [{"flip0": 0.0, "flip10": 0.1, "flip20": 0.2, "flip30": 0.3}]


def test_one_clean_condition_belongs_to_the_curves_of_both_kinds_of_flips() -> None:
    by_class = Noise("class_dependent", 0.2, {"fear": {"surprise": 1.0}})
    conditions = {
        "clean": Condition(text="clean"),
        "few": Condition(n_train=50),
        "any": Condition(noise=Noise("symmetric", 0.4)),
        "class": Condition(noise=by_class, text="by class"),
        "few, class": Condition(n_train=60, noise=by_class),
        "tested elsewhere": Condition(test_label_column="other", noise=by_class),
    }
    assert noise_curves(conditions) == [{"clean": 0.0, "any": 0.4}, {"clean": 0.0, "class": 0.2}]
    assert noise_curves({"any": conditions["any"], "class": conditions["class"]}) == []
