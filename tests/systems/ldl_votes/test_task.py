"""Learning from votes as a task: which loss, rows without votes, draws that repeat, calibration on votes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from kinesics.data.samples import Samples
from kinesics.engine.prediction import Emotion
from kinesics.errors import UserError
from kinesics.metrics.calibration import fit_temperature
from kinesics.systems.ldl_votes.config import SCHEMES, VoteLearningConfig
from kinesics.systems.ldl_votes.task import VoteLearning

N = 8


@pytest.fixture
def make(
    samples_of: Callable[..., Samples], spec_of: Callable[..., Any]
) -> Callable[..., tuple[VoteLearning, Samples]]:
    """A fresh task on 8 noise pictures, the last without votes."""

    def build(**options: Any) -> tuple[VoteLearning, Samples]:
        torch.manual_seed(0)
        samples = samples_of(N, votes=True)
        task = VoteLearning(VoteLearningConfig(**options), spec_of(samples))
        task.attach(samples)
        return task.eval(), samples

    return build


def step(task: VoteLearning, samples: Samples, seed: int = 0) -> tuple[float, torch.Tensor]:
    """The loss, and the log probabilities (N, C) it was made of."""
    batch = task.transform(samples.batch(np.arange(N)), torch.Generator().manual_seed(0))
    torch.manual_seed(seed)
    loss = task.training_step(batch)["loss"].item()
    with torch.no_grad():
        return loss, torch.log_softmax(task.features_and_logits(batch["image"])[1].double(), 1)


def shares(samples: Samples) -> torch.Tensor:
    """(N, C) vote shares, the label where there are none."""
    found = torch.from_numpy(samples.columns["distribution"]).double()
    found[-1] = F.one_hot(torch.tensor(int(samples.columns["label"][-1])), 7)
    return found


def test_a_set_without_votes_is_not_learned_in_silence(
    make: Callable[..., Any], samples_of: Callable[..., Samples], caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("kinesics").addHandler(caplog.handler)
    try:
        task, _ = make()
        assert not caplog.records
        task.attach(samples_of(N))
        told = {record.getMessage() for record in caplog.records}
        assert told == {"no training sample has votes (p_<class> columns): their labels are learned instead"}
    finally:
        logging.getLogger("kinesics").removeHandler(caplog.handler)


def test_each_scheme_is_its_loss(make: Callable[..., Any]) -> None:
    for scheme in ("cel", "mv", "ml"):
        task, samples = make(scheme=scheme)
        loss, log_p = step(task, samples)
        p = shares(samples)
        if scheme == "cel":
            each = -(p * log_p).sum(1)
        elif scheme == "mv":
            each = -log_p[torch.arange(N), torch.from_numpy(p.numpy().argmax(1))]
        else:
            rows = [
                max(log_p[i, k].item() for k in range(7) if p[i, k] > 0.299 or k == p[i].argmax()) for i in range(N)
            ]
            each = -torch.tensor(rows)
        assert loss == pytest.approx(each.mean().item(), rel=1e-5), scheme


def test_draws_differ_from_step_to_step_and_repeat_with_its_seed(make: Callable[..., Any]) -> None:
    task, samples = make(scheme="pld")
    found = [step(task, samples, seed)[0] for seed in (0, 0, 1, 2)]
    assert found[0] == found[1] and len(set(found)) == 3
    mean = np.mean([step(task, samples, seed)[0] for seed in range(60)])
    loss, _ = step(make(scheme="cel")[0], samples)
    assert mean == pytest.approx(loss, abs=0.1)


def test_rows_without_votes_use_their_label_under_every_scheme(make: Callable[..., Any]) -> None:
    for scheme in SCHEMES:
        task, samples = make(scheme=scheme)
        columns = {"label": samples.columns["label"], "distribution": np.full((N, 7), np.nan, np.float32)}
        loss, log_p = step(task, samples.with_columns(**columns))
        expected = -log_p[torch.arange(N), torch.from_numpy(columns["label"])].mean().item()
        assert loss == pytest.approx(expected, rel=1e-5), scheme


def test_calibration_is_on_the_votes(make: Callable[..., Any]) -> None:
    task, samples = make()
    rows = (shares(samples).numpy() + 0.05) ** 2  # sharper than the votes
    rows /= rows.sum(1, keepdims=True)
    answers = [Emotion(distribution=dict(zip(samples.classes, row.tolist(), strict=True))) for row in rows]
    task.calibrate(answers, samples)
    known = samples.columns["distribution"][:-1]
    assert task.calibration["temperature"] == pytest.approx(fit_temperature(np.log(rows[:-1]), known))
    on_labels = fit_temperature(np.log(rows), samples.columns["label"])
    assert task.calibration["temperature"] != pytest.approx(on_labels, rel=1e-3)


def test_eight_colour_samples_are_learned_by_heart(
    samples_of: Callable[..., Samples], spec_of: Callable[..., Any], learned_by_heart: Callable[..., float]
) -> None:
    samples = samples_of(8, 3)
    assert learned_by_heart(VoteLearning(VoteLearningConfig(), spec_of(samples)), samples) == 1.0


@pytest.mark.parametrize(("setting", "value"), [("scheme", "kl"), ("threshold", 0.0), ("backbone", "alexnet")])
def test_wrong_settings_are_named(setting: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"--task.{setting}"):
        VoteLearningConfig(**{setting: value})
