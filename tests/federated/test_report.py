"""The sections of a federation's report from made-up numbers."""

from __future__ import annotations

import re
from html import unescape

import numpy as np
import pandas as pd
import pytest

from kinesics.engine.page import Picture, Section
from kinesics.federated.clock_figures import error_over_clock, over_rounds, silo_bars
from kinesics.federated.config import FederatedRecipe, FederationConfig, NetworkConfig, PartitionConfig
from kinesics.federated.report import consensus_section, error_section, headlines, settings_section, silo_section

HISTORY = pd.DataFrame(
    {
        "round": [100, 200, 300],
        "compute_s": [1.5, 3.0, 4.5],
        "modelled_s": [20.0, 40.0, 1500.0],
        "message_bits": [1e9, 2e9, 3e9],
        "consensus": [2.0, 0.5, 0.1],
        "test/accuracy": [0.25, 0.5, 0.625],
    }
)
SILOS = pd.DataFrame(
    {
        "silo": ["<north>", "south"],
        "n_train": [1200, 30],
        "accuracy": [0.5, 0.75],
        "uar": [0.4, np.nan],
        "ece_calibrated": [0.1, 0.2],
        "recall/anger": [0.3, 0.3],
    }
)


def text_of(section: Section) -> str:
    """Its tables as text, a blank between cells."""
    parts = [part for part in section.parts if isinstance(part, str)]
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", " ".join(parts))))


def pictures(section: Section) -> list[Picture]:
    return [part for part in section.parts if isinstance(part, Picture)]


def test_error_of_the_average_over_both_clocks() -> None:
    section = error_section(HISTORY, "test/accuracy", "accuracy", 1)
    measured, modelled = pictures(section)
    for picture, clock in ((measured, "compute_s"), (modelled, "modelled_s")):
        (drawn,) = picture.figure.axes[0].lines
        assert drawn.get_xdata().tolist() == HISTORY[clock].tolist()
        assert drawn.get_ydata().tolist() == [0.75, 0.5, 0.375]
    assert "0.75 at first, 0.375 at the end, at 1,500 s" in modelled.alt
    assert "100 1.500 20.000 25.0 % 0.7500" in text_of(section)
    steering = HISTORY.rename(columns={"test/accuracy": "test/rmse"})
    section = error_section(steering, "test/rmse", "rmse", -1)
    assert pictures(section)[0].figure.axes[0].lines[0].get_ydata().tolist() == [0.25, 0.5, 0.625]
    assert "300 4.500 1500.000 0.6250" in text_of(section)


def test_of_very_many_rounds_the_table_shows_some() -> None:
    many = pd.concat([HISTORY] * 100, ignore_index=True).assign(round=range(1, 301))
    section = error_section(many, "test/accuracy", "accuracy", 1)
    assert "60 of 300 judged rounds" in text_of(section)
    assert len(pictures(section)[0].figure.axes[0].lines[0].get_xdata()) == 300


def test_silos_by_size_and_by_their_own_models() -> None:
    section = silo_section(SILOS, "accuracy", 1, 0.6)
    text = text_of(section)
    assert "<north> 1,200 50.0 % 40.0 %" in text and "south 30 75.0 % –" in text
    assert "calibrated" not in text and "anger" not in text
    sizes, scores = pictures(section)
    assert [bar.get_width() for bar in sizes.figure.axes[0].patches] == [1200, 30]
    assert [bar.get_width() for bar in scores.figure.axes[0].patches] == [0.5, 0.75]
    assert scores.figure.axes[0].lines[0].get_xdata() == [0.6, 0.6]
    assert "best south with 75.0 %, worst <north> with 50.0 %; the average of all silos has 60.0 %" in scores.alt
    assert (
        "best <north> with 0.5000"
        in pictures(silo_section(SILOS.rename(columns={"accuracy": "rmse"}), "rmse", -1, 1.0))[1].alt
    )
    nothing = silo_section(SILOS.assign(accuracy=np.nan), "accuracy", 1, float("nan"))
    assert "best" not in pictures(nothing)[1].alt


def test_headlines_name_own_models_time_and_bits() -> None:
    found = headlines(HISTORY, SILOS, "accuracy")
    assert {name: value for name, (value, _) in found.items()} == {
        "Own models": "62.5 %", "Modelled time": "1,500 s", "Sent": "3 Gbit",
    }  # fmt: skip
    alone = headlines(HISTORY.assign(message_bits=0.0), SILOS[:1], "accuracy")
    assert set(alone) == {"Modelled time"} and alone["Modelled time"][1] == "300 rounds"


def test_agreement_is_logarithmic_where_it_spans_much() -> None:
    section = consensus_section(HISTORY)
    left, right = (picture.figure.axes[0] for picture in pictures(section))
    assert left.get_yscale() == "log" and right.get_yscale() == "linear"
    assert left.lines[0].get_ydata().tolist() == [2.0, 0.5, 0.1] and "3 Gbit in all" in pictures(section)[1].alt
    flat = consensus_section(HISTORY.assign(consensus=0.0))
    assert pictures(flat)[0].figure.axes[0].get_yscale() == "linear"


@pytest.mark.parametrize("mode", ["dfl", "sfl", "cll"])
def test_settings_tell_what_matters_in_a_mode(mode: str) -> None:
    recipe = FederatedRecipe(
        system="x", data="m.csv", task=None, federation=FederationConfig(mode=mode, local_steps=7, away=["a:1-2"]),
        silos=PartitionConfig(by="dirichlet", alpha=0.25), network=NetworkConfig(topology="nws", overlay="mst"),
    )  # fmt: skip
    section = settings_section(recipe, {"a": 3, "b": 4}, HISTORY)
    first = text_of(Section("", section.parts[0]))
    assert f"({mode})" in first and "local steps in a round 7" in first and "a round, modelled 5,000 ms" in first
    assert ("overlay mst" in first) == (mode == "dfl")
    assert ("topology nws" in first and "Dirichlet, alpha 0.25" in first and "a:1-2" in first) == (mode != "cll")
    assert "network.overlay mst" in text_of(section) and "silos.alpha 0.25" in text_of(section)


def test_figures_bear_odd_numbers() -> None:
    one = HISTORY[:1]
    for figure in (
        error_over_clock(one, "compute_s", np.array([np.nan]), "accuracy", 1),
        over_rounds(one.assign(consensus=np.nan), "consensus", "$x$"),
        silo_bars([f"silo {k}" for k in range(500)], np.arange(500.0), "Training samples"),
        silo_bars(["a"], np.array([np.nan]), "Accuracy", True, float("nan")),
    ):
        figure.draw_without_rendering()
        assert figure.get_size_inches().max() <= 14
