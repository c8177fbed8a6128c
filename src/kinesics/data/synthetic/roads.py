"""Driving data with known truth: a car with a front camera on random roads, the steering given by an expert.

`write_roads` makes a data set of silos that differ in where and when they drive. The parts can be used by themselves:
`Road` (road_track), `State`, `place`, `step` and `expert_steering` (road_car), `render` (road_drawing).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from kinesics.data.synthetic.road_camera import Camera
from kinesics.data.synthetic.road_car import SPEED, State, errors, expert_steering, place, step
from kinesics.data.synthetic.road_drawing import Painter, render
from kinesics.data.synthetic.road_scenes import LIGHTS, SCENES, WEATHERS
from kinesics.data.synthetic.road_track import Road
from kinesics.errors import UserError
from kinesics.files import atomic_write

__all__ = ["LIGHTS", "SCENES", "WEATHERS", "Camera", "Road", "State", "drive_of", "expert_steering", "place", "render",
           "step", "write_roads"]  # fmt: skip

_SPLITS = ("train", "valid", "test")
_STREAM = 41

INTERVAL = 0.4
"""Seconds between a drive's pictures."""

AT_HOME = 0.7
"""Share of a silo's drives in its own weather and light; the others are anywhere."""


@dataclass(frozen=True)
class Conditions:
    """Names of a drive's scene, weather and light."""

    scene: str
    weather: str
    light: str


def home(silo: int) -> Conditions:
    """Where silo number `silo` drives: the scenes in turn, each time round with another weather and light.

    A silo's scene never changes; its weather and light are those of 70 % of its drives.
    """
    scenes, weathers, lights = tuple(SCENES), tuple(WEATHERS), tuple(LIGHTS)
    scene, turn = scenes[silo % len(scenes)], silo // len(scenes)
    weather = weathers[(silo % len(scenes) + turn) % len(weathers)]
    light = lights[(1 + silo + turn) % len(lights)]
    return Conditions(scene, "clear" if SCENES[scene].indoor else weather, light)


def drive_of(silo: int, number: int, split: str, seed: int) -> tuple[Road, Conditions, np.random.Generator]:
    """Road, conditions and lots of one drive; they depend on nothing but the arguments."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_STREAM, _SPLITS.index(split), silo, number)))
    conditions = home(silo)
    if rng.random() >= AT_HOME:
        weather, light = str(rng.choice(list(WEATHERS))), str(rng.choice(list(LIGHTS)))
        conditions = replace(conditions, weather="clear" if SCENES[conditions.scene].indoor else weather, light=light)
    return Road.random(int(rng.integers(2**31))), conditions, rng


def write_roads(
    folder: str | PathLike[str],
    n_train: int,
    n_valid: int,
    n_test: int,
    seed: int,
    *,
    silos: int = 11,
    per_drive: int = 40,
    recovery: float = 0.25,
    camera: Camera | None = None,
    lossless: bool = False,
) -> Path:
    """Drive and write pictures and then `manifest.csv`.

    Every drive has a road of its own and lies in one split and one silo. The expert drives; at a `recovery` picture the
    car is first moved aside and turned, the target steers it back, and the drive goes on from there.

    Args:
        folder: made when missing; holds `manifest.csv` and `train/`, `valid/`, `test/`.
        n_train, n_valid, n_test: pictures in each split, spread evenly over the silos.
        seed: which data set, 0 or more.
        silos: how many; see `home`.
        per_drive: most pictures in one drive.
        recovery: share of the pictures at which the car starts off the line, in [0, 1].
        camera: 320 x 160 pixels where not given.
        lossless: PNG instead of JPEG of quality 92 (five times the size).

    Returns:
        Path of the manifest. Columns: path; target (steering in [-1, 1], +1 is 25 degrees to the right, as in the
            Udacity simulator's logs); split; silo (text, from silo00); group (the drive); scene, weather, light;
            recovery (0 or 1); offset (metres to the left of the road's middle) and turn (degrees that the car points to
            the left of the road).

    Raises:
        UserError: an argument is out of its range, or the folder can't be written to.
    """
    folder, camera = Path(folder), camera or Camera()
    counts = dict(zip(_SPLITS, (n_train, n_valid, n_test), strict=True))
    whole = {"n_train": (n_train, 0), "n_valid": (n_valid, 0), "n_test": (n_test, 0)}
    for name, (value, lowest) in {**whole, "seed": (seed, 0), "silos": (silos, 1), "per_drive": (per_drive, 1)}.items():
        if not isinstance(value, int | np.integer) or value < lowest:
            raise UserError(f"{name} is {value}; expected a whole number, {lowest} or more")
    if not 0.0 <= recovery <= 1.0:
        raise UserError(f"recovery is {recovery}; expected a share between 0 and 1")
    if sum(counts.values()) == 0:
        raise UserError("no pictures to write: n_train, n_valid and n_test are all 0")
    suffix = ".png" if lossless else ".jpg"
    options: dict[str, Any] = {"compress_level": 1} if lossless else {"quality": 92}
    rows: list[dict[str, object]] = []
    try:
        for split, n in counts.items():
            for silo in range(silos):
                here = n // silos + (silo < n % silos)
                if here:
                    (folder / split / f"silo{silo:02d}").mkdir(parents=True, exist_ok=True)
                for number, start in enumerate(range(0, here, per_drive)):
                    some = min(per_drive, here - start)
                    for k, (image, row) in enumerate(_pictures(silo, number, split, seed, some, recovery, camera)):
                        path = f"{split}/silo{silo:02d}/{number:04d}_{k:04d}{suffix}"
                        Image.fromarray(image).save(folder / path, **options)
                        rows.append({"path": path, **row})
    except OSError as error:
        raise UserError(
            f"can't write the drawn roads to {folder}: {error.strerror or error}", hint="choose another folder"
        ) from error
    # last, so that a manifest never names an image that is not there yet
    with atomic_write(folder / "manifest.csv", "w") as stream:
        pd.DataFrame(rows).to_csv(stream, index=False, float_format="%.6f")
    return folder / "manifest.csv"


def _pictures(
    silo: int, number: int, split: str, seed: int, n: int, recovery: float, camera: Camera
) -> Iterator[tuple[np.ndarray, dict[str, object]]]:
    """`n` pictures of one drive, each with its row of the manifest (without the path)."""
    road, conditions, rng = drive_of(silo, number, split, seed)
    painter = Painter(
        road, SCENES[conditions.scene], WEATHERS[conditions.weather], LIGHTS[conditions.light], camera
    )  # fmt: skip
    room = 0.45 * SCENES[conditions.scene].half_width
    state = place(road, rng.uniform(0.0, road.length), speed=SPEED)
    for k in range(n):
        lots = rng.random(4)
        moved = bool(lots[0] < recovery)
        if moved:
            s = road.locate(state.x, state.y)[0]
            state = place(road, s, room * (2 * lots[1] - 1), np.radians(14.0) * (2 * lots[2] - 1), state.speed)
        steering = expert_steering(road, state)
        _, offset, turn = errors(road, state)
        yield painter(state, k), {
            "target": steering, "split": split, "silo": f"silo{silo:02d}", "group": f"{split}-{silo:02d}-{number:04d}",
            "scene": conditions.scene, "weather": conditions.weather, "light": conditions.light,
            "recovery": int(moved), "offset": offset, "turn": float(np.degrees(turn)),
        }  # fmt: skip
        for _ in range(4):
            state = step(state, expert_steering(road, state), INTERVAL / 4)
