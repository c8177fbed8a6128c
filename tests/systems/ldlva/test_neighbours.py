"""Neighbour search against brute force, halves of votes, and out-of-fold prediction."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kinesics.data.samples import Samples
from kinesics.engine.config import FitConfig
from kinesics.engine.task import DataSpec, Preparation
from kinesics.errors import UserError
from kinesics.systems.ldlva import neighbours
from kinesics.systems.ldlva.config import LDLVAConfig


def test_nearest_against_brute_force():
    position = np.random.default_rng(0).uniform(-1, 1, (60, 2))
    distance = np.linalg.norm(position[:, None] - position[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    expected = np.argsort(distance, 1, kind="stable")[:, :5]
    assert np.array_equal(neighbours.nearest(position, 5), expected)


def test_a_sample_is_never_its_own_neighbour_even_among_duplicates():
    position = np.zeros((12, 2))
    found = neighbours.nearest(position, 4)
    assert found.shape == (12, 4)
    assert not (found == np.arange(12)[:, None]).any()
    assert all(len(set(row)) == 4 for row in found.tolist())


def test_too_few_samples():
    with pytest.raises(UserError, match="--task.k 8"):
        neighbours.nearest(np.zeros((8, 2)), 8)


def test_votes_are_dealt_not_copied():
    votes = np.array([[4.0, 6, 0], [1, 1, 1], [10, 0, 0]])
    first, second = neighbours.split_votes(votes, np.random.default_rng(1))
    assert np.allclose(first.sum(1), 1) and np.allclose(second.sum(1), 1)
    # Both halves together are all votes: 5 + 5, 2 + 1, 5 + 5.
    assert np.allclose(first * [[5], [2], [5]] + second * [[5], [1], [5]], votes)


def test_one_vote_cannot_be_split():
    with pytest.raises(UserError, match="at least 2 votes"):
        neighbours.split_votes(np.array([[1.0, 0]]), np.random.default_rng(0))


def make_samples(n=40, classes=("happiness", "sadness")):
    label = np.arange(n) % len(classes)
    images = np.zeros((n, 16, 16, 1), np.uint8)
    return Samples(images, np.arange(n), {"label": label}, np.array([f"{i}.png" for i in range(n)]), classes)


def test_out_of_fold_never_shows_a_sample_to_its_own_teacher(monkeypatch):
    """A teacher that remembers which samples it was given answers for none of them."""
    samples = make_samples()
    seen_by: list[set[str]] = []
    asked: list[set[str]] = []

    def fit(name, task, train, config):
        seen_by.append(set(train.names.tolist()))

    def predict(task, part, *rest):
        from kinesics.engine.prediction import Emotion

        asked.append(set(part.names.tolist()))
        return [Emotion(distribution={"happiness": 0.7, "sadness": 0.3}) for _ in range(len(part))]

    monkeypatch.setattr(neighbours, "predict_all", predict)
    preparation = Preparation(fit, FitConfig(epochs=1, device="cpu"), seed=0, folder=None)
    found = neighbours.out_of_fold(LDLVAConfig(teacher_folds=4), samples, lambda: torch.nn.Linear(1, 1), preparation)
    assert found.shape == (40, 2) and np.allclose(found, [0.7, 0.3])
    assert len(seen_by) == 4
    assert all(not (seen & answered) for seen, answered in zip(seen_by, asked, strict=True))
    assert set.union(*asked) == set(samples.names.tolist())


def test_a_teacher_that_diverged_is_named(monkeypatch):
    from kinesics.engine.prediction import Emotion

    answer = Emotion(distribution={"happiness": float("nan"), "sadness": float("nan")})
    monkeypatch.setattr(neighbours, "predict_all", lambda task, part, *rest: [answer] * len(part))
    preparation = Preparation(lambda *_: None, FitConfig(epochs=1, device="cpu", lr=0.5), seed=0, folder=None)
    with pytest.raises(UserError, match="teacher 1 of 2 answers with numbers that are not finite") as caught:
        neighbours.out_of_fold(LDLVAConfig(), make_samples(), lambda: torch.nn.Linear(1, 1), preparation)
    assert "lower --fit.lr (now 0.5)" in str(caught.value.hint)


def test_auto_takes_complete_columns_and_nothing_less():
    samples = make_samples()
    position = np.random.default_rng(0).uniform(-1, 1, (40, 2)).astype(np.float32)
    nothing = Preparation(None, FitConfig(), 0, None)
    place = neighbours.locate(LDLVAConfig(), samples.with_columns(valence_arousal=position), None, nothing)
    assert place.source == "columns" and np.allclose(place.position, position)
    position[3] = np.nan
    with pytest.raises(UserError, match="1 rows have none"):
        neighbours.locate(LDLVAConfig(source="columns"), samples.with_columns(valence_arousal=position), None, nothing)


def test_votes_source_keeps_the_judging_half_apart():
    samples = make_samples().with_columns(votes=np.tile([6.0, 4.0], (40, 1)).astype(np.float32))
    place = neighbours.locate(LDLVAConfig(source="votes"), samples, None, Preparation(None, FitConfig(), 0, None))
    assert place.source == "votes" and place.judging_votes is not None
    used = place.position  # projected: happiness (.81, .51), sadness (-.63, -.27)
    share = (used[:, 0] + 0.63) / (0.81 + 0.63)
    assert np.allclose(share * 5 + place.judging_votes[:, 0] * 5, 6, atol=1e-5)


def test_unknown_classes_need_columns():
    samples = make_samples(classes=("tired", "awake")).with_columns(votes=np.full((40, 2), 5, np.float32))
    with pytest.raises(UserError, match="no circumplex coordinates"):
        neighbours.locate(LDLVAConfig(source="votes"), samples, None, Preparation(None, FitConfig(), 0, None))


def test_spec_is_plain():
    assert DataSpec(("a", "b"), 16, 1, 0.5, 0.25, 3).n_classes == 2
