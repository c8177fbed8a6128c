"""Many silos trained in one process: DPASGD over an overlay, server-based FedAvg, or all samples in one place."""

from __future__ import annotations

import itertools
import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kinesics.data.samples import Samples
from kinesics.engine.checkpoint import latest_checkpoint, list_checkpoints, save_checkpoint
from kinesics.engine.config import FitConfig
from kinesics.engine.device import choose_device, choose_precision
from kinesics.engine.fit import step_seed
from kinesics.engine.resume import History
from kinesics.engine.task import Task
from kinesics.errors import UserError
from kinesics.federated.attendance import Attendance, among, server_average
from kinesics.federated.config import FederationConfig
from kinesics.federated.exchange import Compression, Exchange
from kinesics.federated.mixing import by_size
from kinesics.federated.moments import GradientStatistics, Moments
from kinesics.federated.preparing import Asked, TrainTogether, prepare_together
from kinesics.federated.silo import Silo, gather_silos
from kinesics.federated.stack import Stack
from kinesics.nn.renorm import BatchRenorm, MovingNorm, renormalise
from kinesics.progress import track

log = logging.getLogger("kinesics")

NORMALISED: dict[str, type[BatchRenorm]] = {"renorm": BatchRenorm, "moving": MovingNorm}
"""The layers that batch normalisation becomes while silos train, by `--federation.batch_norm`."""


@dataclass(frozen=True)
class Network:
    """What a round costs on the wire, and how weights are mixed.

    Args:
        matrix: A (n, n) float64; rows sum to 1, or columns (push-sum). Not used by FedAvg and by training in one place.
        round_ms: (message bits, milliseconds of one local step) -> modelled milliseconds of one round.
    """

    matrix: Tensor
    round_ms: Callable[[int, float], float]


@dataclass
class Federated:
    """How a federation went.

    Args:
        history: a record each judged round.
        silos: as trained.
        stack: their weights.
        weights: (n,) lambda, what each silo counts in the average: 0 for those that are away and, under a server, for
            those that did not take part in the last round.
        running: (n, P) running averages of the weights over rounds, laid out like the stack; None where there are none.
    """

    history: History
    silos: list[Silo]
    stack: Stack
    weights: Tensor
    running: Tensor | None = None

    def average(self) -> dict[str, Tensor]:
        """The text's federated averaging, of the silos' running averages where they keep any."""
        return self.stack.mean(self.weights, self.running)

    def settle(self) -> None:
        """Have every silo's task carry its running average, where it keeps one. No round can follow."""
        if self.running is not None:
            for silo, row in zip(self.silos, self.running, strict=True):
                silo.task.load_shared_state(self.stack.unpack(row))

    def follow(self, decay: float, k: int) -> None:
        """Bring the running averages up to round `k`; the decay grows as (1 + k) / (10 + k) up to its limit."""
        if self.running is not None:
            self.running.lerp_(self.stack.matrix, 1 - min(decay, (1 + k) / (10 + k)))


def simulate(
    make_task: Callable[[int], Task],
    data: Mapping[str, Samples],
    network: Network,
    federation: FederationConfig,
    config: FitConfig,
    *,
    seed: int,
    judge: Callable[[dict[str, Tensor]], dict[str, float]],
    folder: Path | None = None,
    resume: bool = False,
    name: str = "federation",
    on_record: Callable[[History], None] | None = None,
) -> Federated:
    """Train the silos' tasks round by round.

    In every round the silos first mix (theta_i <- sum_j A_ij theta_j), then each takes s mini-batch steps: iteration k
    of the text is a mixing where k = 0 mod (s + 1). The first mixing is of equal weights.

    Args:
        make_task: number of training samples -> a fresh task; all begin with the weights of the first.
        data: silo name -> training samples. For "cll" one silo holds all.
        network: mixing matrix and the cost of a round.
        federation: rounds and the rest.
        config: optimiser, batch size, precision, threads; its epochs and averaging are not used.
        seed: of everything.
        judge: scores of averaged shared weights, by the names that they have in the history.
        folder: where checkpoints go; None keeps nothing on disk.
        resume: continue from the newest whole checkpoint in `folder`.
        name: shown with the progress; empty shows nothing.
        on_record: called after each judgement with the history so far.

    Raises:
        UserError: a loss is not finite, silos that are too small, checkpoints that are not resumed or don't fit.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    if folder is not None and not resume and list_checkpoints(folder):
        raise UserError(f"{folder} holds checkpoints already", hint="resume them, or choose another folder")
    if federation.mode == "cll" and len(data) != 1:
        raise ValueError("centralised training has one silo that holds all samples")
    device = choose_device(config.device)
    precision = choose_precision(config, device)
    saved = latest_checkpoint(folder) if resume and folder else None
    joint = federation.preparation == "joint" and federation.mode != "cll"
    silos = gather_silos(make_task, data, config, seed, folder, resume, saved is None and not joint)
    begin, clocks = 0, {"compute_s": 0.0, "modelled_s": 0.0, "message_bits": 0.0}
    if saved is None and joint:
        prepare_together(silos, config, _joint_training(network, federation, seed, folder, resume, name, clocks))
    stack = Stack([silo.task for silo in silos])
    sizes = np.array([len(silo.train) for silo in silos], dtype=np.float64)
    weights = sizes if federation.weighting == "size" else np.ones(len(silos))
    matrix, counts = network.matrix, None
    if federation.mode == "dfl" and federation.weighting == "size":
        matrix, counts = torch.from_numpy(by_size(matrix.numpy(), sizes)), torch.from_numpy(sizes)
    if federation.batches == "size":
        for silo, size in zip(silos, sizes, strict=True):
            silo.batch_size = max(2, round(config.batch_size * size / sizes.mean()))
    exchange = Exchange(
        stack,
        Compression(federation.compression, federation.topk_share, federation.topk_step),
        federation.batch_norm != "local",
        counts,
    )
    for silo in silos:
        own_batch = min(silo.batch_size or config.batch_size, len(silo.train))
        silo.optimizers = silo.task.optimizers(replace(config, batch_size=own_batch, accumulate=1))
        if federation.batch_norm in NORMALISED:
            silo.renormalised = renormalise(silo.task, NORMALISED[federation.batch_norm])
        if federation.proximal:
            silo.pull_towards_mixed(federation.proximal)
    if federation.batch_norm == "moving" and silos[0].renormalised:
        exchange.gradients = GradientStatistics(stack, silos)
    attendance = Attendance(list(data), federation, seed)
    history: History = []
    if saved is not None:
        begin, history, clocks = _restore(saved, silos, exchange)
        log.info("%s: resumed at round %d", name, begin + 1)
    if federation.moments == "mixed" and federation.mode != "cll":
        exchange.moments = Moments(stack, silos)
    total = federation.rounds * federation.local_steps

    def counted(k: int) -> Tensor:
        who = attendance.present(k) if federation.mode == "sfl" else attendance.at_work(k)
        return torch.from_numpy(np.where(who, weights, 0.0))

    outcome = Federated(history, silos, stack, counted(max(begin - 1, 0)))
    if federation.ema:
        outcome.running = stack.matrix.clone() if saved is None else saved["running"].to(stack.matrix)
    before = attendance.present(begin - 1) if begin else np.ones(len(silos), dtype=bool)
    rounds = range(begin, federation.rounds)
    for k in track(rounds, name) if name else rounds:
        present, messages = attendance.present(k), 0
        if federation.mode == "dfl":
            mixing = among(matrix, present)
            messages = int((mixing - mixing.diag().diag()).count_nonzero())
            exchange.mix(mixing)
        elif federation.mode == "sfl":
            messages = int(before.sum()) + len(silos)  # to the server and back
            exchange.mix(server_average(weights, before))
        before = present
        slowest = 0.0
        for silo in (silos[i] for i in np.flatnonzero(present)):
            started = time.perf_counter()
            silo.begin_round()
            for _ in range(federation.local_steps):
                silo.step(config, total, precision)
            slowest = max(slowest, time.perf_counter() - started)
        outcome.weights = counted(k)
        outcome.follow(federation.ema, k)
        clocks["compute_s"] += slowest
        clocks["modelled_s"] += network.round_ms(exchange.message_bits, 1000 * slowest / federation.local_steps) / 1000
        clocks["message_bits"] += exchange.message_bits * messages
        last = k + 1 == federation.rounds
        if last or (k + 1) % federation.evaluate_every == 0:
            history.append({"round": k + 1, **_losses(silos), **clocks, "consensus": stack.consensus_distance()})
            history[-1].update(judge(outcome.average()))
            if on_record is not None:
                on_record(history)
        if folder is not None and (last or (k + 1) % federation.checkpoint_every == 0):
            _save(folder, k + 1, outcome, exchange, clocks)
    return outcome


def _joint_training(
    network: Network,
    federation: FederationConfig,
    seed: int,
    folder: Path | None,
    resume: bool,
    name: str,
    clocks: dict[str, float],
) -> TrainTogether:
    """What trains what all silos ask for in their preparation, as a federation of its own; `clocks` run on."""

    def train(number: int, asked: Sequence[Asked]) -> None:
        config, tasks = asked[0].config, iter([item.task for item in asked])
        data = {str(place): item.train for place, item in enumerate(asked)}
        sizes = [len(item.train) for item in asked]
        equal = sum(min(config.batch_size, size) for size in sizes)
        taken = equal if federation.batches == "equal" else min(sum(sizes), config.batch_size * len(sizes))
        rounds = max(1, round(config.epochs * sum(sizes) / taken / federation.local_steps))
        outcome = simulate(
            lambda n: next(tasks), data, network,
            replace(federation, rounds=rounds, evaluate_every=rounds, away=[]), config,
            seed=step_seed(seed, 3, number), judge=lambda state: {}, resume=resume,
            folder=folder / f"prepare-{number}" if folder is not None else None,
            name=f"{name}: {asked[0].part}" if name else "",
        )  # fmt: skip
        outcome.settle()
        for clock in clocks:
            clocks[clock] += outcome.history[-1][clock]

    return train


def _losses(silos: Sequence[Silo]) -> dict[str, float]:
    """Mean training losses over the silos' steps since they were last read; starts the sums anew."""
    sums: dict[str, float] = {}
    for silo in silos:
        for key, value in silo.progress.sums.items():
            sums[key] = sums.get(key, 0.0) + float(value)
    steps = sum(silo.since for silo in silos)
    for silo in silos:
        silo.progress.sums, silo.since = {}, 0
    return {f"train/{key}": total / max(steps, 1) for key, total in sums.items()}


def _save(folder: Path, done: int, outcome: Federated, exchange: Exchange, clocks: dict[str, float]) -> None:
    content = {
        "round": done,
        "silos": [silo.state() for silo in outcome.silos],
        "exchange": exchange.state(),
        "history": outcome.history,
        "clocks": clocks,
        "running": outcome.running,
    }
    save_checkpoint(folder, done, content)
    for prepared in itertools.chain(folder.glob("silo-*"), folder.glob("prepare-*")):
        shutil.rmtree(prepared, ignore_errors=True)  # what preparing made is in the checkpoint now


def _restore(saved: dict[str, Any], silos: Sequence[Silo], exchange: Exchange) -> tuple[int, History, dict[str, float]]:
    try:
        for silo, state in zip(silos, saved["silos"], strict=True):
            silo.load(state)
        exchange.load(saved["exchange"])
        return int(saved["round"]), saved["history"], saved["clocks"]
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"the checkpoint does not fit this federation: {' '.join(str(error).split())[:300]}",
            hint="resume with the same settings and manifest, or start anew in another --out folder",
        ) from error
