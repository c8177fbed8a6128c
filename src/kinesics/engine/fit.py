"""THE training loop: setup -> epochs -> validate -> checkpoint, for every task, alone or data-parallel.

Nothing random is carried from step to step: the order of an epoch comes from (seed, epoch), augmentation and dropout
from (seed, epoch, step, rank). A resumed run therefore repeats an uninterrupted one to the last bit on a CPU, given
the same number of threads, wherever it was killed.
"""

from __future__ import annotations

import itertools
import logging
import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kinesics.data.samples import TRUTH, Samples
from kinesics.engine import distributed
from kinesics.engine.average import Average
from kinesics.engine.checkpoint import latest_checkpoint, list_checkpoints
from kinesics.engine.config import FitConfig
from kinesics.engine.device import choose_device, choose_precision, place
from kinesics.engine.optimizers import OptimizerSpec, rate_factor
from kinesics.engine.prediction import Prediction
from kinesics.engine.resume import History, Progress, restore_progress, save_progress
from kinesics.engine.task import Preparation, Task
from kinesics.errors import UserError
from kinesics.progress import track

log = logging.getLogger("kinesics")


@dataclass
class FitResult:
    """How a training went.

    Args:
        history: one record an epoch: "epoch", "lr", "train/<loss>" means, "valid/<metric>".
        selected_epoch: epoch (from 0) whose averaged weights are best on validation; the last one without validation.
        selected: shared state of that epoch, averaged; on the CPU.
        last: shared state of the last epoch, averaged; on the CPU.
        compute_share: share of the steps' time spent in forward, backward and optimisers, the rest being fetching and
            augmentation; 1 when no step was left to do.
    """

    history: History
    selected_epoch: int
    selected: dict[str, Tensor]
    last: dict[str, Tensor]
    compute_share: float


def step_seed(*numbers: int) -> int:
    """One 63-bit seed out of several non-negative numbers, the same on every machine."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


def epoch_order(n: int, seed: int, epoch: int) -> np.ndarray:
    """The permutation of 0 .. n - 1 in which epoch `epoch` visits the samples."""
    return np.random.default_rng([seed, epoch]).permutation(n)


def fit(
    task: Task,
    train: Samples,
    valid: Samples | None,
    config: FitConfig,
    *,
    seed: int,
    folder: Path | None = None,
    resume: bool = False,
    name: str = "training",
    on_epoch: Callable[[History], None] | None = None,
) -> FitResult:
    """Train `task`; afterwards it carries the last epoch's averaged weights.

    Args:
        task: built, on the CPU.
        train: training samples; their positions are the sample ids.
        valid: samples that pick the best epoch; None picks the last.
        config: loop settings.
        seed: of order, augmentation and dropout.
        folder: where checkpoints go; None keeps nothing on disk.
        resume: continue from the newest whole checkpoint in `folder`, if there is one.
        name: shown with the progress; empty shows nothing.
        on_epoch: called in the main process after each epoch with the history so far.

    Raises:
        UserError: the loss is not finite (the message names the files of the batch), too few samples, no such device,
            checkpoints in `folder` that are not resumed.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    device = choose_device(config.device)
    distributed.start(device.type)
    distributed.check_batch_size(config.batch_size, config.accumulate)
    precision = choose_precision(config, device)
    if len(train) < (least := 2 * config.accumulate * distributed.world_size()):
        raise UserError(f"{len(train)} training samples: at least {least} are needed")
    if folder is not None and not resume and list_checkpoints(folder):
        raise UserError(f"{folder} holds checkpoints already", hint="resume them, or choose another folder")
    place(task, device)

    task.attach(train)
    saved = distributed.from_main(lambda: latest_checkpoint(folder)) if resume and folder else None
    if saved is None:
        torch.manual_seed(step_seed(seed, 1))
        task.prepare(train, make_preparation(config, seed, folder, resume, name))
        distributed.broadcast_state(task)
    optimizers = task.optimizers(config)
    average = Average(task, config.ema)
    state = Progress()
    scaler = torch.amp.GradScaler(enabled=precision == torch.float16)
    if saved is not None:
        state = restore_progress(saved, task, optimizers, average, scaler)
        log.info("%s: resumed at epoch %d, step %d", name, state.epoch + 1, state.step)
    elif folder is not None:
        save_progress(folder, state, task, optimizers, average, scaler)
        if distributed.is_main():
            shutil.rmtree(folder / "prepare", ignore_errors=True)  # what it made is in the checkpoint now

    looping, computing = 0.0, 0.0
    while state.epoch < config.epochs:
        task.train()
        torch.manual_seed(step_seed(seed, 7, state.epoch))
        task.epoch_start(state.epoch)
        batches = _batches(len(train), config, seed, state.epoch)
        steps_per_epoch = len(batches)
        total = steps_per_epoch * config.epochs
        guard = Finite(train, state.epoch)
        todo = range(state.batch, steps_per_epoch)
        for number in track(todo, f"{name} epoch {state.epoch + 1}/{config.epochs}") if _shown(name) else todo:
            factor = rate_factor(config, state.step, total, steps_per_epoch)
            active = [spec for spec in optimizers if state.epoch >= spec.from_epoch]
            begun = time.perf_counter()
            computing += train_step(
                task, train, batches[number], config, active, factor, precision, scaler, guard, state, seed
            )
            average.update(state.step)
            looping += time.perf_counter() - begun
            state.step += 1
            state.batch = number + 1
            if folder and config.checkpoint_every and state.step % config.checkpoint_every == 0:
                guard.check()
                if state.batch < steps_per_epoch:
                    save_progress(folder, state, task, optimizers, average, scaler)
        guard.check()
        distributed.average_buffers(task, skip=task.local_prefixes)
        average.average_buffers()
        _finish_epoch(task, valid, config, state, average, factor, precision, name)
        if folder is not None:
            save_progress(folder, state, task, optimizers, average, scaler)
        if on_epoch is not None and distributed.is_main():
            on_epoch(state.history)
    last = average.state()
    task.load_shared_state(last)
    task.eval()
    share = computing / looping if looping else 1.0
    return FitResult(state.history, state.best_epoch, state.best or last, last, share)


def train_step(
    task: Task,
    train: Samples,
    chosen: np.ndarray,
    config: FitConfig,
    optimizers: Sequence[OptimizerSpec],
    factor: float,
    precision: torch.dtype,
    scaler: Any,
    guard: Finite,
    state: Progress,
    seed: int,
) -> float:
    """One optimiser step over the micro-batches of `chosen`; returns the seconds that were not spent on data.

    Losses are added to `state.sums`; the step draws its random numbers from `seed` and the epoch and batch of `state`.
    """
    device = task.device
    computing = 0.0
    for part, positions in enumerate(np.array_split(chosen, config.accumulate)):
        draw = step_seed(seed, 2, state.epoch, state.batch, part, distributed.rank())
        batch = {name: tensor.to(device, non_blocking=True) for name, tensor in train.batch(positions).items()}
        batch = task.transform(batch, torch.Generator().manual_seed(draw))
        begun = time.perf_counter()
        torch.manual_seed(draw)
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            losses = task.training_step(batch)
        guard.add(losses["loss"].detach(), positions)
        scaler.scale(losses["loss"] / config.accumulate).backward()
        for name, value in losses.items():
            state.sums[name] = state.sums.get(name, 0.0) + value.detach().double() / config.accumulate
        if part + 1 == config.accumulate:
            distributed.average_gradients(task.parameters())
            _optimise(optimizers, factor, config.clip_norm, scaler)
            task.zero_grad(set_to_none=True)
        task.after_step(batch)
        computing += time.perf_counter() - begun
    return computing


def _optimise(optimizers: Sequence[OptimizerSpec], factor: float, clip_norm: float, scaler: Any) -> None:
    for spec in optimizers:
        for group in spec.optimizer.param_groups:
            group.setdefault("peak", group["lr"])
            group["lr"] = group["peak"] * (factor if spec.scheduled else 1.0)
        if all(p.grad is None for group in spec.optimizer.param_groups for p in group["params"]):
            continue
        if clip_norm and spec.scheduled:
            scaler.unscale_(spec.optimizer)
            parameters = [p for group in spec.optimizer.param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, clip_norm)
        scaler.step(spec.optimizer)
    scaler.update()


class Finite:
    """Stops the run at the first loss that is not finite. On a GPU it looks one step late, so as not to wait."""

    def __init__(self, train: Samples, epoch: int) -> None:
        self.train, self.epoch = train, epoch
        self.pending: tuple[Tensor, np.ndarray] | None = None

    def add(self, loss: Tensor, positions: np.ndarray) -> None:
        """Take the loss of the batch at `positions`."""
        late = loss.device.type != "cpu"
        if late:
            self.check()
        self.pending = (loss, positions)
        if not late:
            self.check()

    def check(self) -> None:
        """Look at the last loss taken.

        Raises:
            UserError: it is not finite; the message names the batch's files.
        """
        if self.pending is None:
            return
        loss, positions = self.pending
        self.pending = None
        if not math.isfinite(float(loss)):
            names = [str(self.train.names[p]) for p in positions]
            raise UserError(
                f"the loss became {float(loss)} in epoch {self.epoch + 1}, on the batch of:\n  " + "\n  ".join(names),
                hint="lower --fit.lr, set --fit.clip_norm 1, or look at these files and their labels; "
                "the last checkpoint is intact",
            )


def _batches(n: int, config: FitConfig, seed: int, epoch: int) -> list[np.ndarray]:
    """This process's share of every batch of an epoch; a last batch that is not full is left for another epoch."""
    order = epoch_order(n, seed, epoch)
    rank, world = distributed.rank(), distributed.world_size()
    parts = config.accumulate * world
    size = min(config.batch_size, n // parts * parts)
    return [order[start : start + size][rank::world] for start in range(0, n - size + 1, size)]


def _finish_epoch(
    task: Task,
    valid: Samples | None,
    config: FitConfig,
    state: Progress,
    average: Average,
    factor: float,
    precision: torch.dtype,
    name: str,
) -> None:
    """Judge the averaged weights, add the epoch to the history and remember them when they are the best so far."""
    record: dict[str, float] = {"epoch": state.epoch + 1, "lr": config.lr * factor}
    sums = distributed.average_numbers({key: float(total) for key, total in state.sums.items()})
    record.update({f"train/{key}": total / max(state.batch, 1) for key, total in sums.items()})
    score = float(state.epoch)
    if valid is not None and len(valid):
        with average.applied():
            predictions = predict_all(task, valid, config.batch_size * 2, precision)
        found = {key: float(value) for key, value in task.metrics(predictions, valid).items()}
        record.update({f"valid/{key}": value for key, value in found.items()})
        metric, sign = task.selection_metric
        score = sign * found[metric]
    state.history.append(record)
    if score > state.best_score or not state.best:
        state.best_score, state.best_epoch, state.best = score, state.epoch, average.state()
    if _shown(name) and distributed.is_main():
        shown = {k: v for k, v in record.items() if k == "train/loss" or k in ("valid/accuracy", "valid/rmse")}
        log.info(
            "%s epoch %d/%d  %s",
            name,
            state.epoch + 1,
            config.epochs,
            "  ".join(f"{k} {v:.4f}" for k, v in shown.items()),
        )
    state.epoch, state.batch, state.sums = state.epoch + 1, 0, {}


@torch.inference_mode()
def predict_all(
    task: Task, samples: Samples, batch_size: int, precision: torch.dtype = torch.float32
) -> list[Prediction]:
    """The task's uncalibrated answers to all samples, in order; shared out over data-parallel processes.

    Args:
        task: put into evaluation mode.
        samples: their label columns are not shown to the task.
        batch_size: samples in one forward pass.
        precision: autocast type; float32 for none.
    """
    task.eval()
    calibration, task.calibration = task.calibration, {}
    device = task.device
    rank, world = distributed.rank(), distributed.world_size()
    found: list[Prediction] = []
    share = np.array_split(np.arange(len(samples)), world)[rank]
    for start in range(0, len(share), batch_size):
        positions = share[start : start + batch_size]
        batch = samples.batch(positions)
        visible = {key: tensor.to(device) for key, tensor in batch.items() if key not in TRUTH}
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            answers = task.prediction_step(task.transform(visible, None))
        found.extend(answers)
    task.calibration = calibration
    if world > 1:
        parts: list[Any] = [None] * world
        torch.distributed.all_gather_object(parts, found)
        found = list(itertools.chain.from_iterable(parts))
    return found


def _shown(name: str) -> bool:
    return bool(name) and distributed.is_main()


def make_preparation(config: FitConfig, seed: int, folder: Path | None, resume: bool, name: str) -> Preparation:
    """What `Task.prepare` is handed: trainings inside it keep their checkpoints under folder/prepare."""
    counter = itertools.count()

    def sub_fit(part: str, task: Task, train: Samples, part_config: FitConfig) -> None:
        where = folder / "prepare" / part if folder is not None else None
        own_seed = step_seed(seed, 3, next(counter))
        fit(
            task,
            train,
            None,
            part_config,
            seed=own_seed,
            folder=where,
            resume=resume,
            name=f"{name}: {part}" if name else "",
        )

    return Preparation(sub_fit, config, seed, folder)
