"""Figures with images: which image stands where, what its bars say, how big ones are made smaller."""

from __future__ import annotations

import numpy as np
import pytest

from kinesics.engine.image_figures import distribution_bars, image_grid, uncertainty_strip

GREY = np.stack([np.full((12, 10, 1), 40 * i, dtype=np.uint8) for i in range(5)])
CLASSES = ("neutral", "fear")


def value(ax: object) -> int:
    """The grey value of the (uniform) image in an axes."""
    return int(np.asarray(ax.images[0].get_array())[0, 0, 0])  # type: ignore[attr-defined]


def test_grid_fills_rows_in_order() -> None:
    axes = image_grid(GREY, list("abcde"), columns=3).axes
    assert [value(ax) for ax in axes[:5]] == [0, 40, 80, 120, 160] and not axes[5].images
    assert [ax.get_title() for ax in axes[:5]] == list("abcde")


def test_bars_show_predicted_and_where_known_the_votes() -> None:
    predicted = np.array([[0.9, 0.1], [0.3, 0.7]])
    true = np.array([[0.6, 0.4], [np.nan, np.nan]])
    figure = distribution_bars(GREY[:2], predicted, CLASSES, true, ["one", "two"])
    face, bars, second_face, second_bars = (ax for cell in figure.subfigs for ax in cell.axes)
    assert (value(face), value(second_face)) == (0, 40)
    answer, votes = bars.containers
    assert [bar.get_width() for bar in answer] == [0.9, 0.1]
    assert [bar.get_width() for bar in votes] == [0.6, 0.4]
    assert len(second_bars.containers) == 1
    assert [text.get_text() for text in second_bars.texts] == ["30 %", "70 %"]
    assert [cell.get_suptitle() for cell in figure.subfigs] == ["one", "two"]


def test_strip_is_sorted_by_uncertainty() -> None:
    figure = uncertainty_strip(GREY, [0.5, 0.1, 0.9, 0.3, 0.0], list("abcde"))
    assert [value(ax) for ax in figure.axes[:5]] == [160, 40, 120, 0, 80]
    assert [ax.texts[0].get_text() for ax in figure.axes[5:]] == ["0.00", "0.10", "0.30", "0.50", "0.90"]
    assert [ax.patches[0].get_height() for ax in figure.axes[5:]] == [0.0, 0.1, 0.3, 0.5, 0.9]


def test_pixels_are_kept_and_big_images_made_smaller() -> None:
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 256, (1, 20, 30, 3), dtype=np.uint8)
    np.testing.assert_array_equal(image_grid(colour, ["x"]).axes[0].images[0].get_array(), colour[0])
    big = rng.integers(0, 256, (1, 400, 800, 3), dtype=np.uint8)
    assert image_grid(big, ["x"]).axes[0].images[0].get_array().shape == (80, 160, 3)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: image_grid(GREY.astype(float), list("abcde")), r"\(N, H, W, 1 or 3\) uint8, got .* float64"),
        (lambda: image_grid(GREY[..., 0], list("abcde")), r"uint8, got \(5, 12, 10\)"),
        (lambda: image_grid(GREY, ["a"]), "as many images as captions, got 5 and 1"),
        (lambda: uncertainty_strip(GREY, [0.1], list("abcde")), r"uncertainty: expected shape \(5,\), got \(1,\)"),
        (lambda: distribution_bars(GREY, np.ones((5, 3)) / 3, CLASSES), r"shape \(5, 2\), got \(5, 3\)"),
        (lambda: distribution_bars(GREY, np.ones((4, 2)) / 2, CLASSES), "as many images as rows of predicted"),
    ],
)
def test_wrong_input_says_what_was_expected_and_got(call: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()  # type: ignore[operator]
