"""The moving average of weights against its closed form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from kinesics.data.samples import Samples
from kinesics.engine.average import Average


def test_the_average_follows_the_recursion(roads: Samples, steering_of: Callable[..., Any]) -> None:
    task = steering_of(roads)
    average = Average(task, 0.6)
    expected = task.model[1].bias.detach().double().clone()
    for step in range(8):
        with torch.no_grad():
            task.model[1].bias += step + 1
        average.update(step)
        decay = min(0.6, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * task.model[1].bias.detach().double()
    torch.testing.assert_close(average.state()["model.1.bias"].double(), expected, rtol=1e-6, atol=1e-6)
    assert "own" not in average.state()


def test_no_decay_means_the_weights_themselves(roads: Samples, steering_of: Callable[..., Any]) -> None:
    task = steering_of(roads)
    average = Average(task, 0.0)
    with torch.no_grad():
        task.model[1].bias += 5
    average.update(0)
    state = average.state()
    assert torch.equal(state["model.1.bias"], task.model[1].bias)
    with torch.no_grad():
        task.model[1].bias += 1
    assert not torch.equal(state["model.1.bias"], task.model[1].bias)  # a copy


def test_applied_and_put_back(roads: Samples, steering_of: Callable[..., Any]) -> None:
    task = steering_of(roads)
    average = Average(task, 0.9)
    first = task.model[1].weight.detach().clone()
    with torch.no_grad():
        task.model[1].weight += 3
    own = task.model[1].weight.detach().clone()
    with pytest.raises(ZeroDivisionError), average.applied():
        assert torch.equal(task.model[1].weight, first)
        raise ZeroDivisionError
    assert torch.equal(task.model[1].weight, own)


def test_loading_another_average_is_refused(roads: Samples, steering_of: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="other tensors"):
        Average(steering_of(roads), 0.9).load({})
    with pytest.raises(ValueError, match="other tensors"):
        Average(steering_of(roads), 0.0).load({"model.1.weight": torch.zeros(1)})
