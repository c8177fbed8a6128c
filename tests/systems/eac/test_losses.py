"""The formulas of Erasing Attention Consistency against loops and known answers, in float64."""

from __future__ import annotations

import itertools

import pytest
import torch

from kinesics.nn.compact import CompactNet
from kinesics.systems.eac import losses


def test_attention_maps_are_the_sum_over_channels() -> None:
    torch.manual_seed(0)
    feature, weight = torch.randn(2, 3, 2, 4, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
    found = losses.attention_maps(feature, weight)
    for b, j, h, w in itertools.product(range(2), range(5), range(2), range(4)):
        expected = sum(weight[j, c].item() * feature[b, c, h, w].item() for c in range(3))
        assert found[b, j, h, w].item() == pytest.approx(expected, rel=1e-12)


def test_maps_averaged_over_space_are_the_logits_without_bias() -> None:
    torch.manual_seed(0)
    network = CompactNet(4, 1, width=4).double().eval()
    image = torch.rand(2, 1, 40, 40, dtype=torch.float64)
    maps = losses.attention_maps(network.forward_maps(image), network.fc.weight)
    assert maps.shape == (2, 4, 3, 3)
    torch.testing.assert_close(maps.mean((2, 3)) + network.fc.bias, network(image))


def test_consistency_is_the_mean_over_samples_classes_and_places() -> None:
    torch.manual_seed(0)
    own, mirrored = torch.randn(2, 3, 2, 5, dtype=torch.float64), torch.randn(2, 3, 2, 5, dtype=torch.float64)
    total = 0.0
    for b, j, h, w in itertools.product(range(2), range(3), range(2), range(5)):
        total += (own[b, j, h, w].item() - mirrored[b, j, h, 4 - w].item()) ** 2
    assert losses.flip_consistency(own, mirrored).item() == pytest.approx(total / 60, rel=1e-12)


def test_mirrored_maps_are_consistent_and_others_are_not() -> None:
    torch.manual_seed(0)
    own = torch.randn(2, 3, 4, 4, dtype=torch.float64)
    assert losses.flip_consistency(own, own.flip(3)).item() == 0
    symmetric = own + own.flip(3)
    assert losses.flip_consistency(symmetric, symmetric).item() == 0
    assert losses.flip_consistency(own, own).item() > 0.1
    assert losses.flip_consistency(own, own.flip(2)).item() > 0.1  # left and right, not up and down
