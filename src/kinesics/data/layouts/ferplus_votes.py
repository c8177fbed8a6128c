"""How FER+ turns ten votes into targets: the label rules of E. Barsoum, C. Zhang, C. Canton Ferrer and Z. Zhang,
"Training Deep Networks for Facial Expression Recognition with Crowd-Sourced Label Distribution" (ICMI 2016), with the
constants of the script that the authors released (microsoft/FERPlus).

Votes are (N, C + 2) in FER+'s order: C emotions, then "unknown" and "not a face".
"""

from __future__ import annotations

import numpy as np

ENOUGH = 0.75
"""Emotions are taken, the largest first, until they have this share of the votes."""

MOST_EMOTIONS = 3
"""A face that needs more emotions than these for its share is discarded."""


def without_single_votes(votes: np.ndarray) -> np.ndarray:
    """(N, C + 2) votes with those that only one rater gave set to 0: the published outlier removal."""
    counts = np.asarray(votes, dtype=np.float64)
    return np.where(counts > 1, counts, 0.0)


def majority_of_half(votes: np.ndarray) -> np.ndarray:
    """(N,) int64 class with more than half of the votes, single ones removed; -1 where none has, or where that is
    unknown or not a face. What the authors judge by."""
    counts = without_single_votes(votes)
    best = counts.argmax(1)
    wins = (counts.max(1) > 0.5 * counts.sum(1)) & (best < counts.shape[1] - 2)
    return np.where(wins, best, -1)


def leading_emotions(votes: np.ndarray) -> np.ndarray:
    """(N, C) votes of the leading emotions, whose shares the authors train on; rows of NaN for faces they discard.

    Single votes are removed. Then whole levels of equal counts are taken, the largest first, until `ENOUGH` of the
    votes or `MOST_EMOTIONS` are reached; "unknown" or "not a face" ends it and counts only where it leads alone.
    Discarded: faces whose taken emotions have half of the votes or less, or are more than `MOST_EMOTIONS`, or are led
    by "unknown" or "not a face".
    """
    counts = without_single_votes(votes)
    emotions = counts.shape[1] - 2
    found = np.full((len(counts), emotions), np.nan)
    for row, left in enumerate(counts):
        total = left.sum()
        taken = np.zeros_like(left)
        open_ended = True
        while open_ended and taken.sum() < ENOUGH * total and np.count_nonzero(taken) < MOST_EMOTIONS:
            level = left.max()
            for place in np.flatnonzero(left == level):
                left[place] = 0.0
                if place < emotions:
                    taken[place] = level
                    continue
                open_ended = False
                taken[place] = 0.0 if taken.sum() > 0 else level
                break
        kept = taken.sum() > 0.5 * total and np.count_nonzero(taken) <= MOST_EMOTIONS
        if kept and taken.argmax() < emotions:
            found[row] = taken[:emotions]
    return found
