"""Identical images (the same pixels) and near-identical ones (the same picture, cropped, rescaled or
watermarked).

Near-identical means, of two images' grey versions:
- as a whole, at 16 x 16 pixels, their correlation is at least 0.9;
- in detail, at 24 x 24 after a band-pass (Gaussians of 1 and 4 pixels of the 48 x 48 version), it is at least
  0.7, and it stands out: for both of them it lies 4.5 standard deviations above their correlations with 256
  reference images of the same set (from 0.97 on it need not);
- everywhere: the mean of the correlations of 49 windows of 12 x 12 pixels is at least 0.78.

The first alone also finds aligned faces of different people under like light. Standing out tells a repeated
picture from pictures that are all alike, as drawn faces are. The numbers were chosen by looking at pairs: of
150 random ones of the 3,239 found among the 35,709 faces of FER2013, all were the same picture, and 98 of 100
of those with a detail correlation below 0.8. Among 12,000 drawn faces, no two of which are the same picture,
10 pairs pass.

Pairs are found without comparing all with all: the 16 x 16 versions, made zero-mean and unit-length, are
projected on their leading principal axes. That never lengthens a distance, so a k-d tree there finds every
close pair.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

THUMBNAIL = 48
"""Height and width of what is compared, in pixels."""

COARSE_CORRELATION = 0.9
DETAIL_CORRELATION = 0.7
WINDOW_CORRELATION = 0.78
SURE_CORRELATION = 0.97
"""From here on a pair need not stand out from the set."""

STANDING_OUT = 4.5
"""Standard deviations above the correlations with reference images."""

_COARSE = 16
_DETAIL = 24
_AXES = 12
_NEIGHBOURS = 32
_REFERENCES = 256
_FEW = 32
_FEW_CORRELATION = 0.8
"""Among fewer than 32 images there is nothing to stand out from; a higher correlation is asked for instead.
"""

_BLOCK = 1024
_WINDOW = 12
_CONTRAST = 3.0
"""Grey levels; windows of less contrast count little, since what they hold is mostly noise."""

_FLAT = 1.0
"""Images whose grey levels deviate by less than this have no picture to compare."""


@dataclass(frozen=True)
class Duplicates:
    """Groups of duplicates among N images.

    Attributes:
        identical: (N,) int64, the same number for images of equal pixels, -1 for one that has no equal.
        near: (N,) int64, the same for images that are identical or near-identical, directly or through
        others.
        pairs: (M, 2) int64 near-identical pairs (identical images are represented by the first of them).
    """

    identical: np.ndarray
    near: np.ndarray
    pairs: np.ndarray


def find_duplicates(images: np.ndarray) -> Duplicates:
    """Find duplicates among decoded images, (N, H, W) or (N, H, W, C) uint8."""
    digests = np.array([pixel_digest(image) for image in images], dtype="S32")
    thumbnails = np.stack([thumbnail(image) for image in images])
    return group_duplicates(digests, thumbnails)


def pixel_digest(image: np.ndarray) -> bytes:
    """32 hex digits that are equal for images of equal size and pixels; grey is taken as RGB with equal
    channels.

    Args:
        image: (H, W), (H, W, 1) or (H, W, 3) uint8.
    """
    if image.ndim == 3 and image.shape[2] == 3 and (image == image[..., :1]).all():
        image = image[..., 0]
    colours = image.shape[2] if image.ndim == 3 else 1
    size = f"{image.shape[0]} {image.shape[1]} {colours}".encode()
    return hashlib.blake2b(size + np.ascontiguousarray(image).tobytes(), digest_size=16).hexdigest().encode()


def thumbnail(image: np.ndarray) -> np.ndarray:
    """(48, 48) uint8 grey version of an (H, W), (H, W, 1) or (H, W, 3) uint8 image."""
    pixels = image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image
    grey = Image.fromarray(np.ascontiguousarray(pixels)).convert("L")
    if grey.size != (THUMBNAIL, THUMBNAIL):
        grey = grey.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BILINEAR)
    return np.asarray(grey, dtype=np.uint8)


def identical_groups(digests: np.ndarray) -> np.ndarray:
    """(N,) int64: the same number for equal digests, (N,) bytes, counted by first member; -1 for what is
    alone."""
    return _groups(np.unique(digests, return_inverse=True)[1])


def group_duplicates(digests: np.ndarray, thumbnails: np.ndarray) -> Duplicates:
    """Find duplicates from digests, (N,) bytes, and thumbnails, (N, 48, 48) uint8."""
    _, first, inverse = np.unique(digests, return_index=True, return_inverse=True)
    representative = first[inverse]
    pairs = near_pairs(thumbnails, np.sort(first))
    everyone = np.arange(len(digests))
    links = np.concatenate([pairs, np.column_stack([everyone, representative])])
    return Duplicates(_groups(representative), _groups(_components(links, len(digests))), pairs)


def near_pairs(thumbnails: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
    """(M, 2) int64 pairs i < j of near-identical images among (N, 48, 48) uint8 thumbnails, in order.

    Each image is compared with its 32 nearest on the principal axes. Where more are near-identical (frames of
    a still scene) pairs are left out, but each image keeps its nearest ones.

    Args:
        thumbnails: of all images.
        rows: increasing positions of those to compare; None: all.
    """
    rows = np.arange(len(thumbnails)) if rows is None else rows
    deviations = [thumbnails[part].std(axis=(1, 2)) for part in _parts(rows)]
    rows = rows[np.concatenate([np.zeros(0), *deviations]) >= _FLAT]
    if len(rows) < 2:
        return np.zeros((0, 2), dtype=np.int64)
    coarse = _unit_rows(thumbnails, rows, _coarse)
    candidates = _close_on_axes(coarse)
    candidates = candidates[_products(coarse, candidates) >= COARSE_CORRELATION]
    del coarse
    return rows[candidates[_same_picture(thumbnails, rows, candidates)]]


def _same_picture(thumbnails: np.ndarray, rows: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """(M,) bool: which candidates, (M, 2) positions in `rows`, are alike in detail, stand out, and are so
    everywhere."""
    involved, position = np.unique(candidates, return_inverse=True)
    position = position.reshape(candidates.shape)
    detail = _unit_rows(thumbnails, rows[involved], _detail)
    correlation = _products(detail, position)
    if len(rows) < _FEW:
        same = correlation >= _FEW_CORRELATION
    else:
        references = np.unique(np.linspace(0, len(rows) - 1, _REFERENCES).astype(np.int64))
        usual = detail @ _unit_rows(thumbnails, rows[references], _detail).T
        usual[involved[:, None] == references] = np.nan  # not with itself
        floor = np.nanmean(usual, axis=1) + STANDING_OUT * np.nanstd(usual, axis=1)
        outstanding = (correlation[:, None] >= floor[position]).all(axis=1)
        same = (correlation >= DETAIL_CORRELATION) & outstanding | (correlation >= SURE_CORRELATION)
    for part in _parts(np.flatnonzero(same)):
        one, two = (thumbnails[rows[candidates[part, side]]] for side in (0, 1))
        same[part] = _window_correlation(one, two) >= WINDOW_CORRELATION
    return same


def _window_correlation(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """(M,) mean over windows of the correlations between slightly blurred thumbnails, (M, 48, 48) uint8 each."""
    a, b = (_windows(gaussian_filter(side.astype(np.float32), (0, 1, 1))) for side in (one, two))
    variances = ((side * side).mean(axis=2) + _CONTRAST**2 for side in (a, b))
    return ((a * b).mean(axis=2) / np.sqrt(np.prod(list(variances), axis=0))).mean(axis=1)


def _windows(images: np.ndarray) -> np.ndarray:
    """(M, 49, 144) overlapping windows of (M, 48, 48) images, each with mean 0."""
    views = sliding_window_view(images, (_WINDOW, _WINDOW), axis=(1, 2))[:, :: _WINDOW // 2, :: _WINDOW // 2]
    cells = views.reshape(len(images), -1, _WINDOW * _WINDOW)
    return cells - cells.mean(axis=2, keepdims=True)


def _coarse(block: np.ndarray) -> np.ndarray:
    return _shrunk(block.astype(np.float32), _COARSE)


def _detail(block: np.ndarray) -> np.ndarray:
    grey = block.astype(np.float32)
    return _shrunk(gaussian_filter(grey, (0, 1, 1)) - gaussian_filter(grey, (0, 4, 4)), _DETAIL)


def _shrunk(images: np.ndarray, side: int) -> np.ndarray:
    """(n, side * side) block means of (n, 48, 48) images."""
    step = THUMBNAIL // side
    return images.reshape(-1, side, step, side, step).mean(axis=(2, 4)).reshape(len(images), -1)


def _unit_rows(thumbnails: np.ndarray, rows: np.ndarray, feature: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """(n, F) float32 features of some thumbnails, each with mean 0 and length 1, so that products are
    correlations."""
    blocks = [np.zeros((0, 1), dtype=np.float32)] if not len(rows) else []
    for part in _parts(rows):
        values = feature(thumbnails[part])
        values -= values.mean(axis=1, keepdims=True)
        blocks.append(values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6))
    return np.concatenate(blocks)


def _products(unit: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """(M,) float32 products of pairs of rows."""
    found = [np.einsum("ij,ij->i", unit[part[:, 0]], unit[part[:, 1]]) for part in _parts(pairs)]
    return np.concatenate([np.zeros(0, dtype=np.float32), *found])


def _parts(array: np.ndarray) -> Iterator[np.ndarray]:
    return (array[start : start + _BLOCK] for start in range(0, len(array), _BLOCK))


def _close_on_axes(rows: np.ndarray) -> np.ndarray:
    """(M, 2) int64 pairs i < j whose projections are as close as unit rows correlated at the threshold can
    be."""
    _, axes = np.linalg.eigh(rows.T @ rows)
    projected = rows @ axes[:, -_AXES:]
    radius = np.sqrt(2 * (1 - COARSE_CORRELATION)) + 1e-4
    count = min(_NEIGHBOURS + 1, len(rows))
    tree = cKDTree(projected, leafsize=64)
    found = []
    for start in range(0, len(rows), 8192):
        block = projected[start : start + 8192]
        _, others = tree.query(block, k=count, distance_upper_bound=radius, workers=-1)
        one = np.repeat(np.arange(start, start + len(block)), count)
        pairs = np.column_stack([one, others.ravel()])
        found.append(np.sort(pairs[(pairs[:, 1] < len(rows)) & (pairs[:, 0] != pairs[:, 1])], axis=1))
    return np.unique(np.concatenate(found), axis=0)


def _components(links: np.ndarray, count: int) -> np.ndarray:
    graph = coo_matrix((np.ones(len(links), dtype=bool), (links[:, 0], links[:, 1])), shape=(count, count))
    return connected_components(graph, directed=False)[1]


def _groups(member_of: np.ndarray) -> np.ndarray:
    """Numbers 0, 1, ... for groups of two or more, by their first member; -1 for what is alone."""
    _, first, inverse, sizes = np.unique(member_of, return_index=True, return_inverse=True, return_counts=True)
    number = np.full(len(sizes), -1, dtype=np.int64)
    several = np.flatnonzero(sizes > 1)
    number[several[np.argsort(first[several])]] = np.arange(len(several))
    return number[inverse]
