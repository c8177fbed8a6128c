"""Running cells, several at a time, each in a process of its own that can be killed and gone on with."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import logging
import operator
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np

from kinesics.data.manifest import COLUMNS, Manifest
from kinesics.data.tables import at_lines
from kinesics.engine.checkpoint import list_checkpoints
from kinesics.engine.config import Recipe
from kinesics.engine.device import choose_device, choose_precision
from kinesics.engine.loading import fingerprint, hold_out, learnable_rows
from kinesics.engine.run import Run, write_config
from kinesics.engine.session import WHERE_IT_RUNS, changed_settings
from kinesics.errors import UserError
from kinesics.federated.config import FederatedRecipe
from kinesics.files import make_folder
from kinesics.progress import track
from kinesics.studies.compare.cells import Cell
from kinesics.studies.compare.manifests import Derived, by_file
from kinesics.systems import get_system

log = logging.getLogger("kinesics")

TRAINED_IN = "trained_in.txt"
"""Beside checkpoints that were taken over: the name of the cell that made them."""

_TRAINING = "training.txt"
"""Beside them: the fingerprint of the training that they are of (`check_cells`)."""


@dataclass(frozen=True)
class Job:
    """A cell, ready to run.

    Args:
        cell: what it is.
        recipe: what it trains by; `out` is its run directory.
    """

    cell: Cell
    recipe: Recipe

    @property
    def run(self) -> Run:
        """Its run directory."""
        return Run(Path(self.recipe.out))

    @property
    def log_file(self) -> Path:
        """What it printed, beside the run directory."""
        return Path(f"{self.recipe.out}.log")

    @property
    def trained_in(self) -> str:
        """Name of the cell whose training it took over; "" where it has its own."""
        path = self.run.checkpoints / TRAINED_IN
        return path.read_text(encoding="utf-8").strip() if path.is_file() else ""

    def checkpoints(self, training: str) -> list[Path]:
        """What it can go on from, oldest first.

        Args:
            training: fingerprint of what it is to train by. Without run.json there is nothing else that would tell
                whether checkpoints, which were taken over then, are of a definition that has changed since.
        """
        if self.state == "new":
            path = self.run.checkpoints / _TRAINING
            if not path.is_file() or path.read_text(encoding="utf-8", errors="replace").strip() != training:
                return []
        return list_checkpoints(self.run.checkpoints)

    @property
    def state(self) -> str:
        """finished, begun or new.

        Raises:
            UserError: run.json is damaged.
        """
        if not (self.run.folder / "run.json").is_file():
            return "new"
        return "finished" if self.run.read_json("run.json").get("status") == "finished" else "begun"


def threads_each(jobs: int) -> int:
    """CPU threads that each of so many cells at a time gets."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // jobs)


def check_cells(
    jobs: Sequence[Job], derived: Mapping[str, Derived] | None = None, recorded: Collection[Cell] = ()
) -> dict[Cell, str]:
    """Make sure that every cell's system can learn from its manifest where it is to be trained, and that what is in the
    run directories is what the study says now.

    Args:
        jobs: the cells.
        derived: manifest -> what stands for it until it is written.
        recorded: cells that are not run although they are new.

    Returns:
        Cell -> a fingerprint of all that decides its training: the recipe, and the rows that are not in split test.
        Federations are judged by test rows as they go and have a fingerprint each.

    Raises:
        UserError: nothing to learn for a method or nothing to judge it by, images that are not there or a device that
            is not, for cells that aren't finished, or a setting or the data of a cell that was begun have changed; the
            first such cell is named.
    """
    known: dict[tuple[str, str, str], tuple[Manifest, str, str]] = {}
    usable: set[tuple[object, ...]] = set()
    trainings: dict[Cell, str] = {}
    untested: dict[str, Path | None] = {}
    for job in jobs:
        truth = get_system(job.recipe.system).task_class.truth
        key = (job.recipe.data, str(job.recipe.classes), truth)
        try:
            if key not in known:
                draft = (derived or {}).get(job.recipe.data)
                manifest = learnable_rows(job.recipe, truth, None if draft is None else draft.read())
                known[key] = manifest, fingerprint(manifest), _learned(manifest)
            manifest, whole, learned = known[key]
            if not _check_judged(manifest, job.recipe.input.valid_fraction, job.recipe.seed):
                untested.setdefault(job.cell.condition, manifest.path)
            needs = (key, job.recipe.fit.device, job.recipe.fit.precision, job.recipe.input.on_bad_image)
            to_run = job.state == "begun" or (job.state == "new" and job.cell not in recorded)
            if to_run and needs not in usable:
                choose_precision(job.recipe.fit, choose_device(job.recipe.fit.device))
                if job.recipe.input.on_bad_image == "error":
                    _check_files(manifest)
                usable.add(needs)
        except UserError as error:
            raise UserError(f"cell {job.cell.name}: {error.message}", hint=error.hint) from error
        trainings[job.cell] = _training(job, learned)
        if job.state == "new":
            continue
        changed = changed_settings(job.run, job.recipe)
        if job.run.data_fingerprint() != whole:
            changed.append("data")
        if changed:
            raise UserError(
                f"cell {job.cell.name} was {job.state} with another definition (changed: {', '.join(changed[:6])})",
                hint=f"give the changed study another --out folder; or delete {job.run.folder} and those of other "
                "changed cells, and give --fresh to run them anew",
            )
    for condition, path in untested.items():
        log.warning(
            "condition %s: %s has no rows in split test; its cells are judged on the validation rows, on which epochs "
            "are selected",
            condition,
            path,
        )
    return trainings


def _check_judged(manifest: Manifest, fraction: float, seed: int) -> bool:
    """Whether there are test rows; complains where a run would have no training rows, or no validation rows either."""
    split = manifest.column("split").astype(str)
    if not (split == "train").any():
        raise UserError(f"{manifest.path} has no training rows", hint="give rows split=train")
    if np.isin(split, ("test", "valid")).any():
        return bool((split == "test").any())
    if fraction:
        label = manifest.decided_labels() if manifest.classes else np.zeros(len(manifest), dtype=np.int64)
        group = manifest.column("group") if "group" in manifest.table else None
        split = hold_out(split, label, group, fraction, seed)
    if not (split == "valid").any():
        raise UserError(
            f"{manifest.path} has no rows in split test or valid, and input.valid_fraction {fraction:g} takes none "
            "from train: its cells could not be judged",
            hint="give rows split=test",
        )
    return False


def _check_files(manifest: Manifest) -> None:
    """Complain of images that are not there, before the first cell finds out."""
    files = manifest.files()
    absent = [place for place, file in enumerate(files) if not os.path.exists(file)]
    if absent:
        raise UserError(
            f"{manifest.path}, {at_lines([int(manifest.lines[place]) for place in absent])}: {len(absent)} of "
            f"{len(files)} images are missing, {os.path.normpath(files[absent[0]])} is the first",
            hint="kinesics data check tells what a manifest lacks; input.on_bad_image: skip leaves it out",
        )


def _learned(manifest: Manifest) -> str:
    """A fingerprint of what is learned from: rows not in split test and their files, in the columns that have a meaning
    and are not blank throughout."""
    rows = by_file(manifest.rows(["train", "valid"]))
    table = rows.table[[name for name in map(str, rows.table) if name in COLUMNS or name.startswith("p_")]]
    told = [name for name in table if name == "path" or bool((table[name].notna() & (table[name] != "")).any())]
    table = table[told]
    return f"{fingerprint(Manifest(table, rows.path, rows.classes))} {manifest.classes}"


def _training(job: Job, learned: str) -> str:
    """A fingerprint of a cell's recipe and of the rows that it learns from, which name its classes."""
    recipe = dataclasses.asdict(job.recipe)
    for name in ("classes", *WHERE_IT_RUNS):
        *groups, last = name.split(".")
        functools.reduce(operator.getitem, groups, recipe).pop(last)
    own = job.cell.name if isinstance(job.recipe, FederatedRecipe) else ""
    text = json.dumps([recipe, learned, own], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def shared_trainings(jobs: Sequence[Job], trainings: Mapping[Cell, str]) -> dict[Cell, Job]:
    """Which cells need no training of their own, because another one's differs from theirs in test rows alone.

    A cell that has begun its own goes on with that.

    Args:
        jobs: finished ones, whose trainings can be had, and those to be run.
        trainings: from `check_cells`.

    Returns:
        Cell -> whose training it takes over; that job is finished or one of `jobs`.
    """
    first: dict[str, Job] = {}
    found = {}
    order = ("finished", "begun", "new")
    for job in sorted(jobs, key=lambda job: order.index(job.state)):
        if job.state == "finished" and not list_checkpoints(job.run.checkpoints):
            continue
        leader = first.setdefault(trainings[job.cell], job)
        if leader is not job and not job.checkpoints(trainings[job.cell]):
            found[job.cell] = leader
    return found


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Keep a second study out of the same folder, where the system has file locks.

    Raises:
        UserError: another process is at work there, or the folder can't be made or written to.
    """
    make_folder(folder)
    with locked(folder / ".lock", wait=False) as got:
        if not got:
            raise UserError(
                f"another kinesics compare is at work in {folder}", hint="wait for it, or give another --out folder"
            )
        yield


@contextmanager
def locked(path: Path, wait: bool = True) -> Iterator[bool]:
    """Hold a lock file, where the system has file locks.

    Args:
        path: of the lock file, which stays.
        wait: until no other process holds it; else the answer is False where one does.

    Raises:
        UserError: it can't be opened.
    """
    try:
        import fcntl
    except ImportError:  # not POSIX
        yield True
        return
    try:
        stream = path.open("w")
    except OSError as error:
        raise UserError(
            f"can't open the lock file {path}: {error.strerror}",
            hint="a folder of that name has to go; or choose a folder that can be written to",
        ) from error
    with stream:
        got = True
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            got = False
        except OSError as error:
            raise UserError(
                f"can't lock {path}: {error.strerror}", hint="choose a folder on a disk that has file locks"
            ) from error
        yield got


def run_jobs(
    jobs: Sequence[Job],
    at_a_time: int,
    threads: int,
    on_done: Callable[[Job], None],
    trainings: Mapping[Cell, str],
    shared: Mapping[Cell, Job] | None = None,
) -> dict[Cell, str]:
    """Run cells to their end, going on with those that were begun.

    Args:
        jobs: none of them finished.
        at_a_time: processes.
        threads: of each.
        on_done: called with each job as it finishes.
        trainings: from `check_cells`.
        shared: cell -> the job whose training it takes over, once that is finished.

    Returns:
        Cell that failed -> the last line that it printed, or why it could not begin.
    """
    failed: dict[Cell, str] = {}
    told_before: dict[Cell, int] = {}
    running = Processes()
    with ThreadPoolExecutor(at_a_time) as pool:
        work = _Work(jobs, {cell: leader.cell for cell, leader in (shared or {}).items()}, at_a_time)

        def begin(job: Job) -> Future[int]:
            leader = (shared or {}).get(job.cell)
            told_before[job.cell] = job.log_file.stat().st_size if job.log_file.is_file() else 0
            try:
                if leader is not None and leader.cell not in failed:
                    take_over(job, leader, trainings[job.cell])
                elif job.run.checkpoints.exists() and not job.checkpoints(trainings[job.cell]):
                    shutil.rmtree(job.run.checkpoints)
            except (UserError, OSError) as error:
                unready: Future[int] = Future()
                unready.set_exception(error)
                return unready
            return pool.submit(_run, job, threads, running)

        try:
            for job, future in track(work.done(begin), "cells", total=len(jobs)):
                try:
                    code = future.result()
                except (UserError, OSError) as error:
                    failed[job.cell] = f"error: {error}"
                    log.error("%s failed before it began: %s", job.cell.name, error)
                    continue
                if code == 0:
                    on_done(job)
                    log.info("%s: done", job.cell.name)
                else:
                    failed[job.cell] = _last_line(job.log_file, told_before[job.cell])
                    log.error(
                        "%s failed (exit code %d), see %s: %s", job.cell.name, code, job.log_file, failed[job.cell]
                    )
        except BaseException:  # stopped by the user, too: leave no cell behind
            pool.shutdown(wait=False, cancel_futures=True)
            running.kill()
            raise
    return failed


class Processes:
    """Processes that can be killed all at once, those included that are just being started."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._killed = False

    def run(self, command: Sequence[str], log_file: Path, environment: Mapping[str, str]) -> int:
        """Start one, its standard input a pipe from here, and wait for its end; its exit code."""
        with log_file.open("ab") as stream:
            with self._lock:
                if self._killed:
                    return -signal.SIGTERM
                process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=stream, stderr=stream, env=environment
                )
                self._running.add(process)
            try:
                return process.wait()
            finally:
                if process.stdin is not None:
                    process.stdin.close()
                with self._lock:
                    self._running.discard(process)

    def kill(self) -> None:
        """End all that run, and let none begin."""
        with self._lock:
            self._killed = True
            for process in self._running:
                process.kill()


class _Work:
    """Jobs in their order, so many at a time; one that takes over another's training waits for that.

    Args:
        jobs: to be done.
        after: cell -> the cell that it waits for, where that is one of the jobs.
        at_a_time: jobs.
    """

    def __init__(self, jobs: Sequence[Job], after: Mapping[Cell, Cell], at_a_time: int) -> None:
        self._waiting = list(jobs)
        self._after = after
        self._at_a_time = at_a_time
        self._running: dict[Future[int], Job] = {}

    def done(self, begin: Callable[[Job], Future[int]]) -> Iterator[tuple[Job, Future[int]]]:
        """Jobs as they end; waits in short turns, so that Ctrl-C is heard on every system."""
        while self._waiting or self._running:
            while len(self._running) < self._at_a_time and (job := self._ready()) is not None:
                self._running[begin(job)] = job
            for future in wait(self._running, timeout=1.0, return_when=FIRST_COMPLETED).done:
                yield self._running.pop(future), future

    def _ready(self) -> Job | None:
        """The next one that waits for nothing, taken from those that wait."""
        unfinished = {job.cell for job in (*self._waiting, *self._running.values())}
        for place, job in enumerate(self._waiting):
            if self._after.get(job.cell) not in unfinished:
                return self._waiting.pop(place)
        return None


def take_over(job: Job, leader: Job, training: str) -> None:
    """Give a cell another's finished training, so that it is only judged.

    Args:
        job: without a checkpoint of its own.
        leader: finished; its training differs in test rows alone.
        training: fingerprint of it.

    Raises:
        UserError: files can't be copied.
    """
    copy = job.run.folder / ".checkpoints.half"
    try:
        shutil.rmtree(copy, ignore_errors=True)
        shutil.rmtree(job.run.checkpoints, ignore_errors=True)
        shutil.copytree(leader.run.checkpoints, copy)
        (copy / TRAINED_IN).write_text((leader.trained_in or leader.cell.name) + "\n", encoding="utf-8")
        (copy / _TRAINING).write_text(training + "\n", encoding="utf-8")
        copy.rename(job.run.checkpoints)
    except OSError as error:
        raise UserError(f"{leader.run.checkpoints} can't be copied to {job.run.folder}: {error}") from error


def _run(job: Job, threads: int, running: Processes) -> int:
    """Run one cell; its exit code."""
    verb = "federate" if isinstance(job.recipe, FederatedRecipe) else "train"
    write_config(job.run, job.recipe)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    command = [sys.executable, "-m", "kinesics.studies.compare.worker", verb, str(job.run.folder)]
    return running.run(command, job.log_file, environment)


def _last_line(path: Path, start: int = 0) -> str:
    """What a cell said last, from a place in its log on: before that is what earlier starts said."""
    text = path.read_bytes()[start:].decode("utf-8", errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    told = [line for line in lines if line.startswith("error:")]
    return (told or lines or ["nothing was printed"])[-1][:300]
