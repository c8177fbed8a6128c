"""Which device, which number format, and how many threads."""

from __future__ import annotations

import os

import torch
from torch import nn

from kinesics.engine.config import FitConfig
from kinesics.errors import UserError

PRECISIONS = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}
"""What settings and run.json call an autocast type; float32 means no autocast."""


def choose_device(name: str, flag: str = "--fit.device") -> torch.device:
    """The device that `name` (auto, cpu, cuda, cuda:N) stands for; auto is this process's GPU where there is one.

    Args:
        name: what was asked for.
        flag: how it was asked for, for the message.

    Raises:
        UserError: a GPU was asked for and there is none.
    """
    if name == "auto":
        name = f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"{flag} {name!r} is no device; expected auto, cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"{flag} {name!r} is not supported; expected auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"{flag} {name} was asked for, but PyTorch sees no GPU", hint=f"use {flag} cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(f"{flag} {name} was asked for, but PyTorch sees {torch.cuda.device_count()} GPUs")
    return device


def place(module: nn.Module, device: torch.device) -> None:
    """Move a module to a device, four-dimensional weights in channels-last order: images are convolved faster so."""
    module.to(device)
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.ndim == 4:
            tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)


def has_fast_bf16(device: torch.device) -> bool:
    """Whether the hardware multiplies bfloat16 matrices itself (AMX tiles on a CPU, compute capability >= 8)."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    check = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return bool(check and check())


def choose_precision(config: FitConfig, device: torch.device) -> torch.dtype:
    """The autocast type of the run: torch.float32 means no autocast.

    Raises:
        UserError: fp16 on a CPU.
    """
    if config.precision == "fp16" and device.type != "cuda":
        raise UserError(f"--fit.precision fp16 needs a GPU; this run is on {device.type}", hint="use bf16 or fp32")
    if config.precision == "auto":
        return torch.bfloat16 if has_fast_bf16(device) else torch.float32
    return next(kind for kind, name in PRECISIONS.items() if name == config.precision)
