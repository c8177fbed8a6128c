"""Learning-rate schedules against PyTorch's own and against closed forms, and what is decayed."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from kinesics.engine.config import FitConfig
from kinesics.engine.optimizers import build_optimizer, rate_factor


def stepped_by(scheduler_class: type, total: int, each: int, **options: object) -> list[float]:
    """The factors that one of PyTorch's schedulers gives at steps 0 .. total - 1, stepped every `each` steps."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = scheduler_class(optimizer, **options)
    found = []
    for step in range(total):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if (step + 1) % each == 0:
            scheduler.step()
    return found


def test_cosine_is_pytorchs() -> None:
    config = FitConfig(schedule="cosine", warmup=0.3)
    expected = stepped_by(torch.optim.lr_scheduler.CosineAnnealingLR, 60, 1, T_max=60)
    assert [rate_factor(config, step, 60, 10) for step in range(60)] == pytest.approx(expected, abs=1e-9)


def test_step_is_pytorchs() -> None:
    config = FitConfig(schedule="step", milestones=[2, 5, 6], decay=0.3)
    expected = stepped_by(torch.optim.lr_scheduler.MultiStepLR, 80, 10, milestones=[2, 5, 6], gamma=0.3)
    assert [rate_factor(config, step, 80, 10) for step in range(80)] == pytest.approx(expected)


def test_constant() -> None:
    assert {rate_factor(FitConfig(schedule="constant"), step, 9, 3) for step in range(9)} == {1.0}


def test_one_cycle_at_known_places() -> None:
    """Peak at 20 of 100 steps: 1/25 at the start, half way up the middle of both, half way down at 60, 0 at the end."""
    config = FitConfig(schedule="one_cycle", warmup=0.2)
    found = {step: rate_factor(config, step, 100, 10) for step in (0, 10, 20, 60, 100)}
    assert found == pytest.approx({0: 0.04, 10: 0.52, 20: 1.0, 60: 0.5, 100: 0.0}, abs=1e-12)
    quarter = 1 - math.sqrt(0.5)  # 1 - cos(45 degrees)
    assert rate_factor(config, 5, 100, 10) == pytest.approx(0.04 + 0.96 * quarter / 2)
    assert rate_factor(config, 40, 100, 10) == pytest.approx(1 - quarter / 2)


def test_one_cycle_without_warmup_is_cosine() -> None:
    for step in range(30):
        expected = rate_factor(FitConfig(schedule="cosine"), step, 30, 5)
        assert rate_factor(FitConfig(schedule="one_cycle", warmup=0.0), step, 30, 5) == expected


@given(total=st.integers(1, 5000), warmup=st.floats(0, 0.99))
def test_one_cycle_rises_to_its_peak_and_falls(total: int, warmup: float) -> None:
    config = FitConfig(schedule="one_cycle", warmup=warmup)
    steps = sorted({round(total * part / 40) for part in range(41)} - {total})
    found = [rate_factor(config, step, total, 7) for step in steps]
    assert all(0 < factor <= 1 for factor in found)
    for (a, first), (b, second) in itertools.pairwise(zip(steps, found, strict=True)):
        if b <= warmup * total:
            assert first < second
        elif a >= warmup * total:
            assert first > second


def test_vectors_are_not_decayed() -> None:
    """One step of SGD with zero gradients shrinks matrices by rate x decay and leaves biases and scales alone."""
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
        nn.init.ones_(parameter)
    frozen = model[2].weight.requires_grad_(False)
    optimizer = build_optimizer(model.parameters(), FitConfig(optimizer="sgd", lr=0.5, weight_decay=0.1))
    optimizer.step()
    assert model[0].weight.unique().tolist() == pytest.approx([0.95])
    for parameter in (model[0].bias, model[1].weight, model[1].bias, model[2].bias, frozen):
        assert parameter.unique().tolist() == [1.0]


@pytest.mark.parametrize(("name", "kind"), [("adamw", "AdamW"), ("adam", "Adam"), ("sgd", "SGD")])
def test_optimisers_by_name(name: str, kind: str) -> None:
    optimizer = build_optimizer(nn.Linear(2, 2).parameters(), FitConfig(optimizer=name, lr=0.25, momentum=0.5))
    assert type(optimizer).__name__ == kind
    assert {group["lr"] for group in optimizer.param_groups} == {0.25}
    if name == "sgd":
        assert {group["momentum"] for group in optimizer.param_groups} == {0.5}
