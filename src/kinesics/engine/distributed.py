"""Data-parallel training: what the processes started by torchrun tell each other. Alone, every call is free."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from kinesics.errors import UserError

T = TypeVar("T")


def start(device: str) -> None:
    """Join the process group when started by torchrun (RANK and WORLD_SIZE are set); otherwise do nothing.

    Args:
        device: cpu or cuda; with cuda this process's own GPU becomes the one that "cuda" means.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        if device.startswith("cuda"):
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")


def stop() -> None:
    """Leave the process group."""
    if dist.is_initialized():
        dist.destroy_process_group()


def rank() -> int:
    """Number of this process, 0 when alone."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Number of processes, 1 when alone."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main() -> bool:
    """Whether this process writes files and talks to the user."""
    return rank() == 0


def barrier() -> None:
    """Wait for every process."""
    if dist.is_initialized():
        dist.barrier()


def from_main(make: Callable[[], T]) -> T:
    """What `make` returns in process 0, the only one that calls it, handed to every process."""
    if world_size() == 1:
        return make()
    held = [make() if is_main() else None]
    dist.broadcast_object_list(held, 0)
    return held[0]  # type: ignore[return-value]


def average_numbers(numbers: Mapping[str, float]) -> dict[str, float]:
    """Each number's mean over the processes; the names are the same everywhere."""
    if world_size() == 1:
        return dict(numbers)
    parts: list[Mapping[str, float]] = [{}] * world_size()
    dist.all_gather_object(parts, numbers)
    return {name: sum(part[name] for part in parts) / len(parts) for name in numbers}


def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Replace each gradient by its mean over the processes, in one message.

    Per-sample parameters are covered too: each process contributes the rows of the samples it drew, so that every
    process holds the same, whole table, owned by sample id. A parameter without a gradient counts as zero, unless no
    process has one: it keeps none, so that its optimiser leaves it alone, as it does in one process.
    """
    if world_size() == 1:
        return
    wanted = [p for p in parameters if p.requires_grad]
    present = torch.tensor([float(p.grad is not None) for p in wanted], device=wanted[0].device)
    flat = torch.cat([present, *(_gradient(p).reshape(-1).float() for p in wanted)])
    dist.all_reduce(flat)
    flat /= world_size()
    start_at = len(wanted)
    for p, share in zip(wanted, flat[: len(wanted)].tolist(), strict=True):
        if share:
            p.grad = _gradient(p)
            p.grad.copy_(flat[start_at : start_at + p.numel()].view_as(p))
        start_at += p.numel()


def _gradient(parameter: Tensor) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def average_buffers(module: nn.Module, skip: Iterable[str] = ()) -> None:
    """Replace floating-point buffers (BatchNorm statistics) by their mean over the processes.

    Args:
        module: whose buffers.
        skip: prefixes of buffer names to leave alone: state owned by sample id is equal everywhere already.
    """
    if world_size() == 1:
        return
    prefixes = tuple(skip)
    average_tensors(b for name, b in module.named_buffers() if not (prefixes and name.startswith(prefixes)))


def average_tensors(tensors: Iterable[Tensor]) -> None:
    """Replace floating-point tensors by their mean over the processes; others are left alone."""
    if world_size() == 1:
        return
    for tensor in tensors:
        if tensor.is_floating_point():
            dist.all_reduce(tensor)
            tensor /= world_size()


def gather_rows(index: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
    """Every process's (sample ids, values), joined in rank order.

    Args:
        index: (B,) int64 sample ids, the same B in every process.
        values: tensors of shape (B, ...).

    Returns:
        (world * B,) ids, then each value as (world * B, ...).
    """
    if world_size() == 1:
        return (index, *values)
    gathered = []
    for tensor in (index, *values):
        parts = [torch.empty_like(tensor) for _ in range(world_size())]
        dist.all_gather(parts, tensor.contiguous())
        gathered.append(torch.cat(parts))
    return tuple(gathered)


def broadcast_state(module: nn.Module) -> None:
    """Give every process the parameters and buffers of process 0."""
    if world_size() == 1:
        return
    for tensor in module.state_dict().values():
        dist.broadcast(tensor, 0)


def check_batch_size(batch_size: int, accumulate: int) -> None:
    """Raise UserError unless every process gets the same number of samples, 2 or more, of every micro-batch."""
    parts = world_size() * accumulate
    if batch_size % parts or batch_size < 2 * parts:
        raise UserError(
            f"--fit.batch_size {batch_size} can't be split over {world_size()} processes"
            + (f" x {accumulate} micro-batches" if accumulate > 1 else "")
            + ", 2 or more samples each (batch normalisation)",
            hint=f"choose a multiple of {parts}, {2 * parts} or more",
        )
