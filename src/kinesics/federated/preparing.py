"""What systems train before the first round (LDLVA's teachers), trained by all silos together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from kinesics.data.samples import Samples
from kinesics.engine.config import FitConfig
from kinesics.engine.fit import step_seed
from kinesics.engine.task import Preparation, Task
from kinesics.errors import UserError
from kinesics.federated.silo import Silo


@dataclass(frozen=True)
class Asked:
    """A training that a silo's preparation asks for.

    Args:
        part: its name.
        task: to be trained, in place.
        train: the silo's samples for it.
        config: loop settings; `epochs` passes over the samples.
    """

    part: str
    task: Task
    train: Samples
    config: FitConfig


TrainTogether = Callable[[int, Sequence[Asked]], None]
"""(number of the training, what each silo asks for, in their order) -> all tasks are trained."""


@dataclass
class _Turn:
    """A silo's preparation in a thread of its own, which runs only while it is its turn."""

    silo: Silo
    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    rests: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    asked: Asked | None = None
    error: BaseException | None = None
    broken_off: bool = False
    done: bool = False


class _BrokenOff(BaseException):
    """Ends the preparation of a silo because another's failed."""


def prepare_together(silos: Sequence[Silo], config: FitConfig, train: TrainTogether) -> None:
    """Prepare all silos' tasks at once: each time that all ask for a training, it is one of all of them.

    Each preparation runs as it would by itself, in its turn, up to the training that it asks for; one runs at a time,
    so that random numbers are drawn in the same order whatever the machine.

    Args:
        silos: their tasks are prepared on their own samples.
        config: loop settings of the run.
        train: makes a training of what all ask for.

    Raises:
        UserError: the silos ask for different trainings.
        Exception: what a preparation or the training raises.
    """
    turns = [_Turn(silo) for silo in silos]
    threads = [
        threading.Thread(target=_prepare, args=(turn, config), name=f"preparation of {turn.silo.name}", daemon=True)
        for turn in turns
    ]
    try:
        for turn, thread in zip(turns, threads, strict=True):
            thread.start()
            _next(turn)
        number = 0
        while not all(turn.done for turn in turns):
            asked = [turn.asked for turn in turns if turn.asked is not None]
            if len(asked) < len(turns) or len({item.part for item in asked}) > 1:
                raise UserError(
                    "the silos' preparations ask for different trainings (some have what others must learn first), so "
                    "they can't be made together",
                    hint="--federation.preparation local; or, for LDLVA, --task.source teacher",
                )
            train(number, asked)
            number += 1
            for turn in turns:
                _next(turn)
    finally:
        for turn, thread in zip(turns, threads, strict=True):
            if thread.is_alive():
                turn.broken_off = True
                turn.go.release()
                thread.join()


def _next(turn: _Turn) -> None:
    """Let a preparation go on to the next training that it asks for, or to its end."""
    turn.asked = None
    turn.go.release()
    turn.rests.acquire()
    if turn.error is not None:
        raise turn.error


def _prepare(turn: _Turn, config: FitConfig) -> None:
    def fit(part: str, task: Task, train: Samples, part_config: FitConfig) -> None:
        state = torch.get_rng_state()
        turn.asked = Asked(part, task, train, part_config)
        turn.rests.release()
        turn.go.acquire()
        if turn.broken_off:
            raise _BrokenOff
        torch.set_rng_state(state)

    turn.go.acquire()
    try:
        if not turn.broken_off:
            if config.threads:
                torch.set_num_threads(config.threads)  # of this thread
            torch.manual_seed(step_seed(turn.silo.seed, 1))
            turn.silo.task.prepare(turn.silo.train, Preparation(fit, config, turn.silo.seed, None))
    except _BrokenOff:
        pass
    except BaseException as error:  # handed on to the thread that waits
        turn.error = error
    turn.done = True
    turn.rests.release()
