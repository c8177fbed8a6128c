"""Running cells, several at a time, each in a process of its own that can be killed and gone on with."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kinesics.engine.config import Recipe
from kinesics.engine.loading import fingerprint, learnable_rows
from kinesics.engine.run import Run, write_config
from kinesics.engine.session import changed_settings
from kinesics.errors import UserError
from kinesics.federated.config import FederatedRecipe
from kinesics.files import make_folder
from kinesics.progress import track
from kinesics.studies.compare.cells import Cell
from kinesics.systems import get_system

log = logging.getLogger("kinesics")


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


def check_cells(jobs: Sequence[Job]) -> None:
    """Make sure that every cell's system can learn from its manifest, and that what is in the run directories is what
    the study says now.

    Raises:
        UserError: nothing to learn for a method, or a setting or the data of a cell that was begun have changed; the
            first such cell is named.
    """
    known: dict[tuple[str, str, str], str] = {}
    for job in jobs:
        truth = get_system(job.recipe.system).task_class.truth
        key = (job.recipe.data, str(job.recipe.classes), truth)
        if key not in known:
            try:
                known[key] = fingerprint(learnable_rows(job.recipe, truth))
            except UserError as error:
                raise UserError(f"cell {job.cell.name}: {error.message}", hint=error.hint) from error
        if job.state == "new":
            continue
        changed = changed_settings(job.run, job.recipe)
        if job.run.data_fingerprint() != known[key]:
            changed.append("data")
        if changed:
            raise UserError(
                f"cell {job.cell.name} was {job.state} with another definition (changed: {', '.join(changed[:6])})",
                hint=f"give the changed study another --out folder, or delete {job.run.folder} to run the cell anew",
            )


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Keep a second study out of the same folder, where the system has file locks.

    Raises:
        UserError: another process is at work there, or the folder can't be made.
    """
    make_folder(folder)
    try:
        import fcntl
    except ImportError:  # not POSIX
        yield
        return
    with (folder / ".lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(
                f"another kinesics compare is at work in {folder}", hint="wait for it, or give another --out folder"
            ) from None
        yield


def run_jobs(jobs: Sequence[Job], at_a_time: int, threads: int, on_done: Callable[[Job], None]) -> dict[Cell, str]:
    """Run cells to their end, going on with those that were begun.

    Args:
        jobs: none of them finished.
        at_a_time: processes.
        threads: of each.
        on_done: called with each job as it finishes.

    Returns:
        Cell that failed -> the last line that it printed.
    """
    failed: dict[Cell, str] = {}
    running: set[subprocess.Popen[bytes]] = set()
    with ThreadPoolExecutor(at_a_time) as pool:
        futures = {pool.submit(_run, job, threads, running): job for job in jobs}
        try:
            for future in track(_finished(futures), "cells", total=len(jobs)):
                job = futures[future]
                code = future.result()
                if code == 0:
                    on_done(job)
                    log.info("%s: done", job.cell.name)
                else:
                    failed[job.cell] = _last_line(job.log_file)
                    log.error(
                        "%s failed (exit code %d), see %s: %s", job.cell.name, code, job.log_file, failed[job.cell]
                    )
        except BaseException:  # stopped by the user, too: leave no cell behind
            pool.shutdown(wait=False, cancel_futures=True)
            for process in list(running):
                process.kill()
            raise
    return failed


def _finished(futures: Mapping[Future[int], Job]) -> Iterator[Future[int]]:
    """Futures as they end; waits in short turns, so that Ctrl-C is heard on every system."""
    left = set(futures)
    while left:
        done, left = wait(left, timeout=1.0, return_when=FIRST_COMPLETED)
        yield from done


def _run(job: Job, threads: int, running: set[subprocess.Popen[bytes]]) -> int:
    """Run one cell; its exit code."""
    verb = "federate" if isinstance(job.recipe, FederatedRecipe) else "train"
    write_config(job.run, job.recipe)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    command = [sys.executable, "-m", "kinesics.studies.compare.worker", verb, str(job.run.folder)]
    with job.log_file.open("ab") as stream:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=stream, stderr=stream, env=environment)
        running.add(process)
        try:
            return process.wait()
        finally:
            if process.stdin is not None:
                process.stdin.close()
            running.discard(process)


def _last_line(path: Path) -> str:
    lines = [line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    told = [line for line in lines if line.startswith("error:")]
    return (told or lines or ["nothing was printed"])[-1][:300]
