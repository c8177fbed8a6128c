"""Contrast of the colours by the WCAG 2 formula, on light and dark paper."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from kinesics.engine.palette import COLOURS, DEEP, SERIES, light, series, stylesheet


def rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255


def luminance(channels: np.ndarray) -> float:
    linear = np.where(channels <= 0.03928, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(a: np.ndarray, b: np.ndarray) -> float:
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1])
def test_text_and_series_stand_out_from_the_paper(scheme: int) -> None:
    paper, raised = rgb(COLOURS["paper"][scheme]), rgb(COLOURS["raised"][scheme])
    for name in ("ink", "muted", *SERIES):
        assert contrast(rgb(COLOURS[name][scheme]), paper) >= 4.5, name
    assert contrast(rgb(COLOURS["muted"][scheme]), raised) >= 4.5


@pytest.mark.parametrize("scheme", [0, 1])
def test_numbers_in_a_heatmap_can_be_read_at_every_shade(scheme: int) -> None:
    paper, accent = rgb(COLOURS["paper"][scheme]), rgb(COLOURS["accent"][scheme])
    for share in np.linspace(0, 1, 201):
        text = rgb(COLOURS["on-deep" if share >= DEEP else "on-pale"][scheme])
        assert contrast((1 - share) * paper + share * accent, text) >= 4.5, share


def test_light_values_are_unique_and_the_stylesheet_names_them_all() -> None:
    assert all(a != b for a, b in itertools.combinations([pale for pale, _ in COLOURS.values()], 2))
    assert all(f"--{name}:{value}" in stylesheet() for name, pair in COLOURS.items() for value in pair)


def test_series_repeat_after_the_last() -> None:
    assert series(0) == series(len(SERIES)) == light(SERIES[0]) != series(1)
