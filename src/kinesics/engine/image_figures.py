"""Figures with images in them: grids, faces beside distributions, faces in order of uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from kinesics.engine.figure_style import plain, short, styled
from kinesics.engine.palette import light

_LARGEST = 160
"""Pixels that the longer side of an image keeps."""


@styled
def image_grid(images: NDArray[np.uint8], captions: Sequence[str], columns: int = 6) -> Figure:
    """Images in rows, a caption under each.

    Args:
        images: (N, H, W, C) uint8, C = 1 or 3.
        captions: N texts, each of one or two lines.
        columns: images in a row.
    """
    _check_images(images, len(captions), "captions")
    columns = max(min(columns, len(images)), 1)
    rows = max(-(-len(images) // columns), 1)
    figure = Figure(figsize=(1.4 * columns, 1.75 * rows))
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes[len(images) :]:
        ax.set_axis_off()
    for ax, image, caption in zip(axes, images, captions, strict=False):
        _show(ax, image)
        ax.set_title(plain(caption, 22), y=-0.04, va="top", loc="center", fontsize=7.5, fontweight="normal")
    return figure


@styled
def distribution_bars(
    images: NDArray[np.uint8],
    predicted: ArrayLike,
    classes: Sequence[str],
    true: ArrayLike | None = None,
    captions: Sequence[str] | None = None,
    columns: int = 2,
) -> Figure:
    """Each image beside its predicted distribution and, hatched and where known, the true one.

    Args:
        images: (N, H, W, C) uint8, C = 1 or 3.
        predicted: (N, C) rows summing to 1.
        classes: C names.
        true: (N, C) shares of the votes, rows of NaN where there are none.
        captions: N texts, drawn above.
        columns: examples in a row.
    """
    p = np.asarray(predicted, dtype=float)
    t = np.full(p.shape, np.nan) if true is None else np.asarray(true, dtype=float)
    _check_images(images, len(p), "rows of predicted")
    shape = (len(images), len(classes))
    if p.shape != shape or t.shape != shape:
        raise ValueError(f"expected predicted and true of shape {shape}, got {p.shape} and {t.shape}")
    columns = max(min(columns, len(images)), 1)
    rows = max(-(-len(images) // columns), 1)
    height = 0.3 + 0.17 * len(classes) + (0.25 if captions is not None else 0)
    figure = Figure(figsize=(3.2 * columns, height * rows))
    cells = figure.subfigures(rows, columns, squeeze=False).ravel()
    for number, image in enumerate(images):
        face, bars = cells[number].subplots(1, 2, width_ratios=(1, 1.15))
        _show(face, image)
        _distribution(bars, p[number], t[number], classes)
        if captions is not None:
            cells[number].suptitle(plain(captions[number], 50), fontsize=8.5, x=0.02, ha="left")
    return figure


@styled
def uncertainty_strip(images: NDArray[np.uint8], uncertainty: ArrayLike, captions: Sequence[str]) -> Figure:
    """Images from the most certain (left) to the least, with a bar for each one's uncertainty.

    Args:
        images: (N, H, W, C) uint8, C = 1 or 3, in any order.
        uncertainty: (N,) higher = less certain.
        captions: N texts.
    """
    u = np.asarray(uncertainty, dtype=float)
    _check_images(images, len(captions), "captions")
    if u.shape != (len(images),):
        raise ValueError(f"uncertainty: expected shape {(len(images),)}, got {u.shape}")
    n = max(len(images), 1)
    figure = Figure(figsize=(1.02 * n, 2.2))
    axes = figure.subplots(2, n, squeeze=False, height_ratios=(1.3, 1))
    top = max(float(u.max(initial=0.0)), 1e-9)
    for (face, bar), position in zip(axes.T, np.argsort(u, kind="stable"), strict=True):
        _show(face, images[position])
        bar.bar(0, u[position], 0.5, color=light("orange"))
        bar.set(xlim=(-0.5, 0.5), ylim=(0, top * 1.3))
        bar.text(0, u[position], f"{u[position]:.2f}", ha="center", va="bottom", fontsize=8)
        bar.set_xticks([0], [plain(captions[position], 12)], fontsize=7.5)
        bar.set_yticks([])
        bar.tick_params(length=0, labelcolor=light("ink"))
        bar.spines["left"].set_visible(False)
    return figure


@styled
def uncertainty_columns(
    images: NDArray[np.uint8], uncertainty: ArrayLike, columns: Sequence[str], rows: int, meaning: str
) -> Figure:
    """A column a given label, images from the least certain at the top to the most certain at the bottom.

    Args:
        images: (N, H, W, C) uint8, C = 1 or 3; column after column, `rows` images each, top to bottom.
        uncertainty: (N,) of each image, written under it.
        columns: N / rows labels.
        rows: images in a column.
        meaning: what the numbers are.
    """
    u = np.asarray(uncertainty, dtype=float)
    _check_images(images, len(columns) * rows, "places (labels times rows)")
    if u.shape != (len(images),):
        raise ValueError(f"uncertainty: expected shape {(len(images),)}, got {u.shape}")
    figure = Figure(figsize=(1.15 * len(columns) + 0.4, 1.3 * rows + 0.5))
    axes = figure.subplots(rows, len(columns), squeeze=False)
    for number, label in enumerate(columns):
        for row in range(rows):
            ax, place = axes[row][number], number * rows + row
            _show(ax, images[place])
            if row == 0:
                ax.set_title(plain(label, 14), loc="center", fontsize=9)
            ax.text(0.5, -0.05, f"{u[place]:.2f}", transform=ax.transAxes, ha="center", va="top", fontsize=7.5)
    figure.supylabel(plain(f"{meaning}: high (top) to low"), fontsize=8.5, color=light("muted"))
    return figure


def _check_images(images: NDArray[np.uint8], n: int, what: str) -> None:
    if images.ndim != 4 or images.shape[3] not in (1, 3) or images.dtype != np.uint8:
        raise ValueError(f"images: expected (N, H, W, 1 or 3) uint8, got {images.shape} {images.dtype}")
    if len(images) != n:
        raise ValueError(f"expected as many images as {what}, got {len(images)} and {n}")


def _show(ax: Axes, image: NDArray[np.uint8]) -> None:
    """Hand over the pixels themselves, not resampled to the figure; big images are made smaller first."""
    picture = Image.fromarray(np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image)
    picture.thumbnail((_LARGEST, _LARGEST))
    ax.imshow(np.asarray(picture), interpolation="none")
    ax.set_axis_off()


def _distribution(ax: Axes, predicted: NDArray[np.float64], true: NDArray[np.float64], classes: Sequence[str]) -> None:
    rows = np.arange(len(classes))
    known = not np.isnan(true).any()
    ax.barh(rows - (0.2 if known else 0), predicted, 0.38 if known else 0.66, color=light("blue"))
    if known:
        hatched: dict[str, Any] = {"edgecolor": light("orange"), "hatch": "/////", "linewidth": 0.8}
        ax.barh(rows + 0.2, true, 0.34, facecolor="none", **hatched)
    for row in rows[predicted >= 0.005]:
        reach = float(max(predicted[row], true[row]) if known else predicted[row])
        percent = f"{100 * predicted[row]:.0f} %"
        ax.text(reach + 0.03, float(row), percent, va="center", fontsize=7, color=light("muted"))
    ax.set(xlim=(0, 1.22), ylim=(len(classes) - 0.45, -0.55))
    ax.set_yticks(rows, [short(name, 12) for name in classes], fontsize=7.5)
    ax.set_xticks([])
    ax.tick_params(length=0, labelcolor=light("ink"))
    ax.spines["bottom"].set_visible(False)
