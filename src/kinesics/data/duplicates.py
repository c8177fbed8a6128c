"""Identical images (the same pixels) and near-identical ones (the same picture, cropped, rescaled or
watermarked).

Near-identical means: the correlation of the 16 x 16 grey versions is at least 0.9, and that of the 48 x 48
versions after a band-pass (Gaussians of 1 and 4 pixels) is at least 0.8. The first alone also finds aligned
faces of different people under like light; details of a few pixels tell them apart. On the 35,709 faces of
FER2013 the second number has one mode near 0.62 (different people) and one near 0.9 (the same picture). Of
random pairs that were looked at, 79 of 80 between 0.80 and 0.85 were the same picture, and 66 of 80 between
0.75 and 0.80.

Pairs are found without comparing all with all: the 16 x 16 versions, made zero-mean and unit-length, are
projected on their leading principal axes. That never lengthens a distance, so a k-d tree there finds every
close pair.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

THUMBNAIL = 48
"""Height and width of what is compared, in pixels."""

COARSE_CORRELATION = 0.9
FINE_CORRELATION = 0.8

_COARSE = 16
_AXES = 24
_NEIGHBOURS = 32
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
    distinct = np.sort(first)
    pairs = distinct[near_pairs(thumbnails[distinct])]
    everyone = np.arange(len(digests))
    links = np.concatenate([pairs, np.column_stack([everyone, representative])])
    return Duplicates(_groups(representative), _groups(_components(links, len(digests))), pairs)


def near_pairs(thumbnails: np.ndarray) -> np.ndarray:
    """(M, 2) int64 pairs i < j of near-identical images among (N, 48, 48) uint8 thumbnails, in order.

    Each image is compared with its 32 nearest on the principal axes. Where more are near-identical (frames of
    a still scene) pairs are left out, but each image keeps its nearest ones.
    """
    varied = np.flatnonzero(_deviations(thumbnails) >= _FLAT)
    if len(varied) < 2:
        return np.zeros((0, 2), dtype=np.int64)
    coarse = _standardised(_coarse(thumbnails[varied]))
    candidates = _close_on_axes(coarse)
    alike = np.einsum("ij,ij->i", coarse[candidates[:, 0]], coarse[candidates[:, 1]])
    candidates = candidates[alike >= COARSE_CORRELATION]
    involved, position = np.unique(candidates, return_inverse=True)
    fine = _standardised(_band_pass(thumbnails[varied[involved]]))
    position = position.reshape(candidates.shape)
    keep = np.zeros(len(candidates), dtype=bool)
    for start in range(0, len(candidates), 4096):
        block = position[start : start + 4096]
        alike = np.einsum("ij,ij->i", fine[block[:, 0]], fine[block[:, 1]])
        keep[start : start + 4096] = alike >= FINE_CORRELATION
    pairs = varied[candidates[keep]]
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def _deviations(thumbnails: np.ndarray) -> np.ndarray:
    parts = [thumbnails[start : start + 1024].std(axis=(1, 2)) for start in range(0, len(thumbnails), 1024)]
    return np.concatenate(parts) if parts else np.zeros(0)


def _coarse(thumbnails: np.ndarray) -> np.ndarray:
    step = THUMBNAIL // _COARSE
    blocks = thumbnails.reshape(-1, _COARSE, step, _COARSE, step)
    return blocks.sum(axis=(2, 4), dtype=np.uint16).reshape(len(thumbnails), -1).astype(np.float32)


def _band_pass(thumbnails: np.ndarray) -> np.ndarray:
    result = np.empty((len(thumbnails), THUMBNAIL * THUMBNAIL), dtype=np.float32)
    for start in range(0, len(thumbnails), 1024):
        block = thumbnails[start : start + 1024].astype(np.float32)
        passed = gaussian_filter(block, (0, 1, 1)) - gaussian_filter(block, (0, 4, 4))
        result[start : start + 1024] = passed.reshape(len(block), -1)
    return result


def _standardised(rows: np.ndarray) -> np.ndarray:
    """Rows with mean 0 and length 1, so that their products are correlations."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)


def _close_on_axes(rows: np.ndarray) -> np.ndarray:
    """(M, 2) int64 pairs i < j whose projections are as close as unit rows correlated at the threshold can
    be."""
    _, axes = np.linalg.eigh(rows.T @ rows)
    projected = rows @ axes[:, -_AXES:]
    radius = np.sqrt(2 * (1 - COARSE_CORRELATION)) + 1e-4
    count = min(_NEIGHBOURS + 1, len(rows))
    tree = cKDTree(projected)
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
