"""kinesics drive: a trained run steers the synthetic car on roads that it has not seen."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kinesics.cli.arguments import Parser

if TYPE_CHECKING:
    import numpy as np

    from kinesics.inference.steering.closed_loop import Moment
    from kinesics.inference.steering.drive_video import Overlay
    from kinesics.vision.film import VideoWriter

_STREAM = 43


def main(argv: Sequence[str]) -> int:
    """Run the verb."""
    parser = Parser(prog="kinesics drive", description=__doc__)
    parser.add_argument("run", help="run directory of a driving system; `expert` is the driver that made the truth")
    parser.add_argument("--out", type=Path, required=True, help="folder for drives.csv, traces and videos")
    parser.add_argument("--roads", type=int, default=10, help="how many roads, each its own scene and road (10)")
    parser.add_argument("--seed", type=int, default=0, help="which roads; none is in a written data set (0)")
    parser.add_argument("--laps", type=int, default=1, help="laps on each road (1)")
    parser.add_argument("--scene", nargs="+", default=[], help="drive in these in turn; all where not given")
    parser.add_argument("--weather", nargs="+", default=["clear"], help="likewise; clear")
    parser.add_argument("--light", nargs="+", default=["noon"], help="likewise; noon")
    parser.add_argument("--speed", type=float, default=6.0, help="metres per second (6)")
    parser.add_argument("--rate", type=int, default=10, help="pictures per second (10)")
    parser.add_argument("--videos", type=int, default=1, help="film so many of the roads, MP4 with PyAV, else GIF (1)")
    parser.add_argument("--last", action="store_true", help="use the last epoch's weights instead of the kept ones")
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda or cuda:N (cpu)")
    given = parser.parse_args(list(argv))
    import csv
    from contextlib import ExitStack
    from functools import partial

    import numpy as np

    from kinesics.cli.tables import print_table
    from kinesics.data.synthetic.road_scenes import LIGHTS, SCENES, WEATHERS, check_setting, look_up
    from kinesics.data.synthetic.road_track import Road
    from kinesics.engine.config import require
    from kinesics.files import atomic_write
    from kinesics.inference.steering.closed_loop import drive
    from kinesics.inference.steering.drive_video import Overlay
    from kinesics.progress import track
    from kinesics.vision.film import VideoWriter, default_suffix

    require(given.roads >= 1, "--roads", given.roads, "at least 1")
    require(given.seed >= 0, "--seed", given.seed, "at least 0")
    require(given.videos >= 0, "--videos", given.videos, "at least 0")
    require(given.laps >= 1, "--laps", given.laps, "at least 1")
    require(1 <= given.rate <= 60, "--rate", given.rate, "1 to 60")
    require(0 < given.speed <= 40, "--speed", given.speed, "in (0, 40]")
    scenes = [look_up(SCENES, name, "scene") for name in given.scene or SCENES]
    weathers = [look_up(WEATHERS, name, "weather") for name in given.weather]
    lights = [look_up(LIGHTS, name, "light") for name in given.light]
    if given.scene:
        for scene in scenes:
            for weather in weathers:
                check_setting(scene, weather)
    policy = None if given.run == "expert" else _Policy(given.run, given.last, given.device)
    rows: list[dict[str, Any]] = []
    for k in track(range(given.roads), "driving"):
        scene, light = scenes[k % len(scenes)], lights[k % len(lights)]
        weather = WEATHERS["clear"] if scene.indoor else weathers[k % len(weathers)]
        lots = np.random.SeedSequence(given.seed, spawn_key=(_STREAM, k)).generate_state(1)
        road = Road.random(int(lots[0]))
        with ExitStack() as stack:
            watch = None
            if k < given.videos:
                film = stack.enter_context(VideoWriter(given.out / f"road{k:03d}{default_suffix()}", given.rate))
                overlay = Overlay(road, scene.half_width, title=f"{scene.name}, {weather.name}, {light.name}")
                watch = partial(_film, film, overlay)
            done = drive(
                policy, road, scene, weather, light, laps=given.laps, speed=given.speed, dt=1 / given.rate, watch=watch
            )
        where = {"road": k, "scene": scene.name, "weather": weather.name, "light": light.name}
        rows.append({**where, "length": road.length, **done.figures()})
        with atomic_write(given.out / f"road{k:03d}.csv", "w") as stream:
            done.trace.to_csv(stream, index=False, float_format="%.5f")
    with atomic_write(given.out / "drives.csv", "w") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(
            {name: round(value, 5) if isinstance(value, float) else value for name, value in row.items()}
            for row in rows
        )
    heads = ["road", "scene", "weather", "light", "laps", "departures", "off_road", "mean_lateral", "max_lateral"]
    units = {"off_road": "off road", "mean_lateral": "mean offset (m)", "max_lateral": "largest (m)"}
    title = f"{sum(row['laps'] == given.laps for row in rows)} of {len(rows)} roads completed"
    print_table(title, [units.get(head, head) for head in heads], [[row[head] for head in heads] for row in rows])
    if policy is not None:
        print(f"{policy.pictures} pictures answered, {policy.pictures / policy.seconds:.0f} a second")
    print(f"table, traces and videos: {given.out}")
    return 0


def _film(film: VideoWriter, overlay: Overlay, moment: Moment) -> None:
    film.add(overlay(moment))


class _Policy:
    """Picture -> steering angle of a run's answer; counts the pictures and the seconds.

    Raises:
        UserError: the run does not steer.
    """

    def __init__(self, run: str, last: bool, device: str) -> None:
        from kinesics.inference.predictor import load

        self.run, self.predictor = run, load(run, last=last, device=device)
        self.pictures, self.seconds = 0, 0.0

    def __call__(self, image: np.ndarray) -> float:
        from kinesics.errors import UserError

        began = time.perf_counter()
        answer = self.predictor(image)[0]
        self.pictures, self.seconds = self.pictures + 1, self.seconds + time.perf_counter() - began
        if not hasattr(answer, "angle"):
            raise UserError(
                f"{self.run} does not steer: it answers with {type(answer).__name__}, which has no angle",
                hint="give the run of a driving system",
            )
        return float(answer.angle)
