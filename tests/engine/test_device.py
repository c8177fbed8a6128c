"""Devices and number formats by name."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from kinesics.engine.config import FitConfig
from kinesics.engine.device import choose_device, choose_precision, has_fast_bf16, place
from kinesics.errors import UserError


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == choose_device("cpu") == torch.device("cpu")
    with pytest.raises(UserError, match="--device cuda was asked for"):
        choose_device("cuda", "--device")
    for name in ("gpu", "meta", "cuda:x", ""):
        with pytest.raises(UserError, match=f"--fit.device '{name}'"):
            choose_device(name)


def test_each_process_takes_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert choose_device("auto") == torch.device("cuda:3")
    with pytest.raises(UserError, match="sees 4 GPUs"):
        choose_device("cuda:4")


def test_precisions() -> None:
    cpu = torch.device("cpu")
    assert choose_precision(FitConfig(precision="fp32"), cpu) == torch.float32
    assert choose_precision(FitConfig(precision="bf16"), cpu) == torch.bfloat16
    fast = torch.bfloat16 if has_fast_bf16(cpu) else torch.float32
    assert choose_precision(FitConfig(precision="auto"), cpu) == fast
    with pytest.raises(UserError, match="fp16 needs a GPU"):
        choose_precision(FitConfig(precision="fp16"), cpu)


def test_networks_of_any_dimension_are_placed() -> None:
    """Channels last is an order of four dimensions: a clip's weights of five keep theirs."""
    model = nn.ModuleDict({"image": nn.Conv2d(3, 4, 3), "clip": nn.Conv3d(3, 4, 3), "list": nn.Linear(3, 4)})
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    place(model, torch.device("cpu"))
    assert model["image"].weight.is_contiguous(memory_format=torch.channels_last)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
