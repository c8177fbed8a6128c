"""The stem taken a few pictures at a time: the same answers and gradients as in one piece."""

from __future__ import annotations

import pytest
import torch

from kinesics.nn import resnet8
from kinesics.nn.resnet8 import ResNet8


def test_parts_give_what_the_whole_batch_gives(monkeypatch):
    torch.manual_seed(0)
    net, x = ResNet8(1).double(), torch.randn(7, 1, 40, 40, dtype=torch.float64)
    seen = []
    net.conv1.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    found = {}
    for values in (10**9, 3 * 32 * 20 * 20):
        monkeypatch.setattr(resnet8, "STEM_VALUES", values)
        pixels = x.clone().requires_grad_()
        out = net.stem(pixels)
        (out * torch.arange(out.numel(), dtype=torch.float64).view_as(out).sin()).sum().backward()
        found[values] = out.detach(), pixels.grad, net.conv1.weight.grad.clone()
        net.zero_grad()
    assert seen == [7, 3, 3, 1]
    for whole, parts in zip(*found.values(), strict=True):
        assert parts == pytest.approx(whole, abs=1e-10)


def test_one_piece_without_gradients_and_a_picture_larger_than_the_limit(monkeypatch):
    monkeypatch.setattr(resnet8, "STEM_VALUES", 1)
    net, x = ResNet8(1), torch.randn(3, 1, 40, 40)
    assert net.stem(x).shape == (3, 32, 9, 9)
    with torch.no_grad():
        assert net.stem(x).shape == (3, 32, 9, 9)
