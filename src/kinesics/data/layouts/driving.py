"""Drives of Udacity's simulator and car: a log with a row a moment, and pictures of a front camera.

Rows are in the order of the recording. Neighbouring frames are nearly the same picture, so `group` numbers blocks of
consecutive ones, which no random split then tears apart; `silo` is the recording.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kinesics.data.layouts.rows import Rows, choice, folders_in, wrong_tree
from kinesics.data.tables import at_lines, csv_columns, numbers
from kinesics.errors import UserError

SIM_TREE = """
SRC/driving_log.csv            (center,left,right,steering,throttle,brake,speed; with or without that header)
SRC/IMG/center_*.jpg           (or SRC/RECORDING/driving_log.csv and so on, one folder a recording)"""

CH2_TREE = """
SRC/interpolated.csv           (index,timestamp,width,height,frame_id,filename,angle,...)
SRC/center/*.png               (or SRC/RECORDING/interpolated.csv and so on)"""

SESSIONS_TREE = """
SRC/SESSION/log.csv            (image,t_ms,steering,steering_smooth,...)
SRC/SESSION/img/*.jpg"""

SIM_COLUMNS = ("center", "left", "right", "steering", "throttle", "brake", "speed")

SIDE = {"center": 0.0, "left": 1.0, "right": -1.0}
"""Camera -> sign of what is added to the steering for its view: seen from the left, the way back is to the right."""


@dataclass
class Frames:
    """Frames gathered from one or more recordings.

    Attributes:
        columns: of the manifest-to-be.
        absent: pictures that a log names and that aren't there.
        first_absent: one of them.
    """

    columns: dict[str, list[object]] = field(
        default_factory=lambda: {name: [] for name in ("path", "target", "split", "silo", "group", "camera")}
    )
    absent: int = 0
    first_absent: Path | None = None

    def add(self, path: Path, target: float, silo: str, group: str, split: str = "train", camera: str = "") -> None:
        """Append a frame; it is only counted where its picture isn't there."""
        if not path.is_file():
            self.absent += 1
            self.first_absent = self.first_absent or path
            return
        values = {"path": path, "target": target, "split": split, "silo": silo, "group": group, "camera": camera}
        for name, value in values.items():
            self.columns[name].append(value)

    def rows(self, source: Path, left_out: dict[str, int] | None = None) -> Rows:
        """What the layout returns.

        Raises:
            UserError: not one of the pictures is there.
        """
        if not self.columns["path"] and self.first_absent is not None:
            raise UserError(
                f"{source}: none of the {self.absent} pictures that its logs name is there; the first would be "
                f"{self.first_absent}"
            )
        columns = dict(self.columns)
        if not any(columns["camera"]):
            del columns["camera"]
        return Rows(columns, {"pictures that are not there": self.absent, **(left_out or {})})


def udacity_sim(source: Path, out: Path, *, cameras: str = "center", correction: float = 0.2, block: int = 100) -> Rows:
    """Udacity's simulator: SRC/driving_log.csv and SRC/IMG/, or a folder of such recordings.

    `target` is the steering command, in [-1, 1] (times 25 degrees), negative to the left. Pictures are looked for by
    their names alone: the log has the paths of the machine that it was recorded on.

    Args:
        cameras: "center", or "all" three, the side views with `correction` added (left) or taken off (right).
        correction: steering that brings the car back from a side view.
        block: consecutive moments that make a `group`; 0: no groups.
    """
    choice("cameras", cameras, ("center", "all"))
    _check_block(block)
    frames = Frames()
    for log in _logs("udacity-sim", source, "driving_log.csv", SIM_TREE):
        folder, rows = log.parent, _simulator_rows(log)
        steering = _checked_numbers(log, [line for line, _ in rows], [cells[3] for _, cells in rows], "steering")
        for place, (_, cells) in enumerate(rows):
            group = _group(folder.name, place, block)
            for camera, cell in zip(SIM_COLUMNS[:3], cells, strict=False):
                if (camera == "center" or cameras == "all") and cell.strip():
                    path = folder / "IMG" / re.split(r"[\\/]", cell.strip())[-1]
                    target = float(steering[place]) + correction * SIDE[camera]
                    frames.add(path, target, folder.name, group, camera=camera)
    return frames.rows(source)


def udacity_ch2(source: Path, out: Path, *, cameras: str = "center", block: int = 100) -> Rows:
    """Udacity's challenge 2: interpolated.csv and the pictures it names, or a folder of such recordings.

    `target` is the column angle as recorded: radians of the steering wheel.

    Args:
        cameras: "center", or "all" three, with the same angle.
        block: consecutive rows that make a `group`; 0: no groups.
    """
    choice("cameras", cameras, ("center", "all"))
    _check_block(block)
    frames = Frames()
    for log in _logs("udacity-ch2", source, "interpolated.csv", CH2_TREE):
        lines, cells = csv_columns(log, ("frame_id", "filename", "angle"))
        angle = _checked_numbers(log, lines, cells["angle"], "angle")
        folder = log.parent
        for place, name in enumerate(cells["filename"]):
            camera = cells["frame_id"][place].strip().removesuffix("_camera")
            if camera == "center" or cameras == "all":
                group = _group(folder.name, place, block)
                frames.add(folder / name.strip(), float(angle[place]), folder.name, group, camera=camera)
    return frames.rows(source)


def udacity_sessions(
    source: Path,
    out: Path,
    *,
    target_column: str = "steering_smooth",
    test_fraction: float = 0.2,
    block: int = 100,
) -> Rows:
    """Recording sessions of the simulator in one folder each: SRC/SESSION/log.csv and SRC/SESSION/img/.

    Args:
        target_column: of log.csv: steering_smooth, the mean over a second, or steering, the keyboard's command.
        test_fraction: the last share of every session is split test, in [0, 1).
        block: consecutive frames that make a `group`; 0: no groups.
    """
    if not 0 <= test_fraction < 1:
        raise UserError(f"--test-fraction is {test_fraction}; it must be at least 0 and below 1")
    _check_block(block)
    frames = Frames()
    for log in _logs("udacity-sessions", source, "log.csv", SESSIONS_TREE):
        lines, cells = csv_columns(log, ("image", target_column))
        target = _checked_numbers(log, lines, cells[target_column], target_column)
        session = log.parent.name
        first_test = round((1 - test_fraction) * len(lines))
        for place, name in enumerate(cells["image"]):
            split = "test" if place >= first_test else "train"
            # test frames are numbered apart, so that no group crosses
            group = _group(f"{session}-{split}" if split == "test" else session, place, block)
            frames.add(log.parent / "img" / name.strip(), float(target[place]), session, group, split)
    return frames.rows(source)


def _logs(layout: str, source: Path, name: str, tree: str) -> list[Path]:
    """The logs of that name: SRC itself, in SRC, or in the folders in SRC."""
    if source.is_file():
        return [source]
    places = [source / name]
    found = [path for path in places if path.is_file()]
    found = found or [folder / name for folder in folders_in(source) if (folder / name).is_file()]
    if not found:
        raise wrong_tree(layout, [source / name, source / "*" / name], tree)
    return found


def _simulator_rows(log: Path) -> list[tuple[int, list[str]]]:
    """Line numbers and cells of a driving log; its header, where it has one, is passed over."""
    try:
        with log.open(encoding="utf-8-sig", newline="") as stream:
            read = csv.reader(stream)
            rows = [(read.line_num, cells) for cells in read if cells]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{log}: not well-formed CSV in UTF-8 ({error})") from error
    if rows and [cell.strip().lower() for cell in rows[0][1][:4]] == list(SIM_COLUMNS[:4]):
        rows = rows[1:]
    if bad := [line for line, cells in rows if len(cells) < 4]:
        raise UserError(
            f"{log}: {at_lines(bad)}: fewer than 4 cells; expected {','.join(SIM_COLUMNS)}",
            hint="the simulator writes one row a moment",
        )
    return rows


def _checked_numbers(log: Path, lines: list[int], cells: list[str], name: str) -> np.ndarray:
    """(N,) float64, all finite."""
    values, bad = numbers(cells)
    bad = sorted({*bad, *np.flatnonzero(np.isnan(values)).tolist()})
    if bad:
        raise UserError(f"{log}: {at_lines([lines[place] for place in bad])}: {name} is not a number")
    return values


def _check_block(block: int) -> None:
    if block < 0:
        raise UserError(f"--block is {block}; it must be 0 or more")


def _group(name: str, place: int, block: int) -> str:
    return f"{name}-{place // block:04d}" if block else ""
