"""Relative Uncertainty Learning as a task: branches, pairs, and the uncertainty of an answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from kinesics.data.samples import Samples
from kinesics.engine.fit import predict_all
from kinesics.errors import UserError
from kinesics.systems.rul.config import RULConfig
from kinesics.systems.rul.task import RUL

N = 8


@pytest.fixture
def make(samples_of: Callable[..., Samples], spec_of: Callable[..., Any]) -> Callable[..., tuple[RUL, Samples]]:
    """A fresh task on 8 noise pictures of 32 pixels."""

    def build(channels: int = 1, **options: Any) -> tuple[RUL, Samples]:
        torch.manual_seed(0)
        samples = samples_of(N, channels, size=32)
        task = RUL(RULConfig(**options), spec_of(samples))
        task.attach(samples)
        return task, samples

    return build


@pytest.mark.parametrize("branch", ["pooled", "maps"])
def test_a_step_by_hand(make: Callable[..., Any], branch: str) -> None:
    """With frozen statistics (mean 0, variance 1) the branches are two linear layers."""
    task, samples = make(branch=branch, dimension=5)
    task.eval()
    batch = task.transform(samples.batch(np.arange(N)), torch.Generator().manual_seed(0))
    torch.manual_seed(7)
    found = task.training_step(batch)["loss"].item()
    torch.manual_seed(7)
    partner = torch.randperm(N)
    with torch.no_grad():
        maps = task.model.forward_maps(batch["image"])
        seen = (maps.mean((2, 3)) if branch == "pooled" else maps.flatten(1)).double()
        assert task.mu.linear.in_features == (256 if branch == "pooled" else 256 * 4)
        scale = (1 + 2e-5) ** -0.5
        mu, log_sigma = (
            (scale * seen @ one.linear.weight.double().T + one.linear.bias.double()) * scale
            for one in (task.mu, task.log_sigma)
        )
        u = log_sigma.exp().mean(1, keepdim=True)
        mixed = (u * mu + u[partner] * mu[partner]) / (u + u[partner])
        logits = mixed @ task.model.fc.weight.double().T + task.model.fc.bias.double()
    expected = (F.cross_entropy(logits, batch["label"]) + F.cross_entropy(logits, batch["label"][partner])) / 2
    assert found == pytest.approx(expected.item(), rel=1e-4)


def test_answers_are_made_of_mu_and_say_how_uncertain_they_are(make: Callable[..., Any]) -> None:
    task, samples = make()
    answers = predict_all(task, samples, N)
    batch = task.transform(samples.batch(np.arange(N)), None)
    with torch.inference_mode():
        mu, log_sigma = task.encode(batch["image"])
        probability = torch.softmax(task.model.fc(mu).double(), 1)
        u = log_sigma.double().exp().mean(1)
    found = np.array([list(answer.distribution.values()) for answer in answers])
    assert found == pytest.approx(probability.numpy(), abs=1e-6)
    assert [answer.uncertainty for answer in answers] == pytest.approx((u / (1 + u)).tolist(), rel=1e-5)
    scores = task.sample_scores(samples, answers)
    assert scores["uncertainty"].tolist() == [answer.uncertainty for answer in answers]
    label = samples.columns["label"]
    assert scores["label_doubt"] == pytest.approx(1 - found[np.arange(N), label])


def test_pairs_are_the_steps_own_and_repeat(make: Callable[..., Any]) -> None:
    task, samples = make(dropout=0.0)
    task.eval()
    batch = task.transform(samples.batch(np.arange(N)), None)
    found = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        found.append(task.training_step(batch)["loss"].item())
    assert found[0] == found[1] != found[2]


def test_nothing_stays_at_home(make: Callable[..., Any]) -> None:
    task, _ = make()
    assert task.local_state() == {} and "log_sigma.linear.weight" in task.shared_state()


def test_eight_colour_samples_are_learned_by_heart(
    samples_of: Callable[..., Samples], spec_of: Callable[..., Any], learned_by_heart: Callable[..., float]
) -> None:
    samples = samples_of(8, 3)
    torch.manual_seed(0)
    assert learned_by_heart(RUL(RULConfig(dropout=0.0), spec_of(samples)), samples) == 1.0


@pytest.mark.parametrize(("setting", "value"), [("dimension", 0), ("branch", "fc"), ("dropout", 1.0)])
def test_wrong_settings_are_named(setting: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"--task.{setting}"):
        RULConfig(**{setting: value})
