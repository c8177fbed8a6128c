from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kinesics.data.layouts.ferplus_votes import leading_emotions, majority_of_half, without_single_votes

# neutral happiness surprise sadness anger disgust fear contempt | unknown NF
BY_HAND = [
    # (votes, class judged by, shares trained on)
    ((9, 1, 0, 0, 0, 0, 0, 0, 0, 0), 0, {0: 1.0}),  # the single vote goes
    ((5, 5, 0, 0, 0, 0, 0, 0, 0, 0), -1, {0: 0.5, 1: 0.5}),  # half is not more than half
    ((4, 0, 0, 3, 3, 0, 0, 0, 0, 0), -1, {0: 0.4, 3: 0.3, 4: 0.3}),  # a level of equals is taken whole
    ((6, 0, 0, 2, 2, 0, 0, 0, 0, 0), 0, {0: 0.6, 3: 0.2, 4: 0.2}),  # 6 of 10 are not 0.75 yet
    ((8, 0, 0, 2, 0, 0, 0, 0, 0, 0), 0, {0: 1.0}),  # 8 of 10 are enough
    ((4, 0, 2, 2, 2, 0, 0, 0, 0, 0), -1, None),  # four emotions are too many
    ((0, 0, 0, 0, 0, 0, 0, 0, 10, 0), -1, None),  # nobody knows
    ((0, 0, 0, 3, 0, 0, 0, 0, 7, 0), -1, None),  # led by unknown
    ((6, 0, 0, 0, 0, 0, 0, 0, 4, 0), 0, {0: 1.0}),  # unknown ends it, and is dropped behind an emotion
    ((5, 0, 0, 0, 0, 0, 0, 0, 5, 0), -1, None),  # what is taken has half of the votes only
    ((2, 2, 2, 2, 2, 0, 0, 0, 0, 0), -1, None),
    ((1, 1, 1, 1, 1, 1, 1, 1, 1, 1), -1, None),  # nothing is left
    ((3, 7, 0, 0, 0, 0, 0, 0, 0, 0), 1, {0: 0.3, 1: 0.7}),
]


@pytest.mark.parametrize(("votes", "judged", "trained"), BY_HAND)
def test_rules_by_hand(votes: tuple[int, ...], judged: int, trained: dict[int, float] | None) -> None:
    table = np.array([votes])
    assert majority_of_half(table).tolist() == [judged]
    leading = leading_emotions(table)[0]
    if trained is None:
        assert np.isnan(leading).all()
    else:
        shares = leading / leading.sum()
        assert {k: v for k, v in enumerate(shares.tolist()) if v} == pytest.approx(trained)


def test_votes_are_not_changed_in_place() -> None:
    votes = np.array([[9.0, 1, 0, 0, 0, 0, 0, 0, 0, 0]])
    before = votes.copy()
    assert without_single_votes(votes).tolist()[0][:2] == [9.0, 0.0]
    leading_emotions(votes)
    np.testing.assert_array_equal(votes, before)


def test_real_votes_against_a_plain_count(shared: Path) -> None:
    table = pd.read_csv(shared / "data" / "ferplus" / "labels.csv")
    votes = table[[f"v_{name}" for name in ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear",
                                            "contempt", "unknown", "NF")]].to_numpy()  # fmt: skip
    expected = []
    for row in votes.tolist():
        said = [place for place, count in enumerate(row) for _ in range(count) if count > 1]
        leader = max(set(said), key=said.count) if said else 9
        expected.append(leader if leader < 8 and 2 * said.count(leader) > len(said) else -1)
    judged = majority_of_half(votes)
    np.testing.assert_array_equal(judged, expected)
    assert ((judged >= 0) & (table["usage"] == "PrivateTest")).sum() == 3152
    leading = leading_emotions(votes)
    clear = (judged >= 0) & np.isfinite(leading).all(1)
    np.testing.assert_array_equal(leading[clear].argmax(1), judged[clear])
