"""How metrics are written: units, digits, endings, unknown names."""

from __future__ import annotations

import math

from kinesics.engine.metric_names import describe


def test_values_carry_their_unit() -> None:
    assert describe("accuracy").format(0.7564) == "75.6 %"
    assert describe("kl").format(0.4321) == "0.432 nats"
    assert describe("n").format(1200) == "1200"
    assert describe("cosine").format(math.nan) == "–"


def test_endings_and_details_keep_the_meaning() -> None:
    assert describe("ece_calibrated").title == "ECE, calibrated"
    assert describe("recall/anger").title == "Recall anger"
    assert describe("valid/kl_calibrated").title == "KL, calibrated, valid"
    for name in ("ece_calibrated", "valid/ece", "nll"):
        assert describe(name).better == -1
    assert describe("valid/accuracy").better == describe("recall/anger").better == 1


def test_an_unknown_name_is_shown_as_it_is() -> None:
    metric = describe("flops")
    assert (metric.title, metric.better, metric.format(91234567.0)) == ("flops", 0, "9.123e+07")
