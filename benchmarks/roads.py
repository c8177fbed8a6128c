"""Pictures of the synthetic road drawer a second, on one thread.

    OMP_NUM_THREADS=1 python benchmarks/roads.py [--pictures 60]

320 x 160 pixels, along two random roads. Rates are by processor time of this process, so that other work on the
machine counts little; `rate` is the median over rounds, `slowest` the worst round. `painter_ms` is what a new road
costs before its first picture. The last row is `write_roads`, with drives of 40 pictures: roads, expert, JPEG and files
included. Results: benchmarks/roads.csv.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import tempfile
import time
from pathlib import Path

from kinesics.data.synthetic.road_camera import Camera
from kinesics.data.synthetic.road_car import place
from kinesics.data.synthetic.road_drawing import Painter
from kinesics.data.synthetic.road_scenes import LIGHTS, SCENES, WEATHERS
from kinesics.data.synthetic.road_track import Road
from kinesics.data.synthetic.roads import write_roads

HERE = Path(__file__).resolve().parent
ROUNDS = 3


def main() -> None:
    """Time every scene under its lightest and heaviest sky and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=60, help="of each cell")
    parser.add_argument("--out", type=Path, default=HERE / "roads.csv")
    given = parser.parse_args()
    rows = []
    each = max(given.pictures // ROUNDS, 1)
    for scene in SCENES.values():
        for weather, light in (("clear", "noon"), ("clear" if scene.indoor else "snow", "night")):
            making, rates = [], []
            for turn in range(ROUNDS):
                began = time.process_time()
                road = Road.random(turn % 2)
                painter = Painter(road, scene, WEATHERS[weather], LIGHTS[light], Camera())
                painter(place(road, 0.0))
                making.append(time.process_time() - began)
                began = time.process_time()
                for k in range(each):
                    painter(place(road, k * road.length / each), k)
                rates.append(each / (time.process_time() - began))
            rows.append(_row(scene.name, weather, light, rates, each * ROUNDS, statistics.median(making)))
    rates = []
    for turn in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            began = time.process_time()
            write_roads(folder, 80, 0, 0, turn, silos=2)
            rates.append(80 / (time.process_time() - began))
    rows.append(_row("write_roads", "any", "any", rates, 80 * ROUNDS, 0.0))
    with given.out.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _row(scene: str, weather: str, light: str, rates: list[float], n: int, making: float) -> dict[str, object]:
    row: dict[str, object] = {
        "scene": scene, "weather": weather, "light": light, "rate": round(statistics.median(rates), 1),
        "slowest": round(min(rates), 1), "pictures": n, "painter_ms": round(1000 * making, 1),
    }  # fmt: skip
    print(row, flush=True)
    return row


if __name__ == "__main__":
    main()
