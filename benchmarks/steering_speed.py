"""Frames a second of the steering systems on one thread, one picture at a time, as ratios within one run.

    OMP_NUM_THREADS=1 python benchmarks/steering_speed.py [--rounds 7]

End to end is what a car would run: a JPEG of 320 x 160 pixels (drawn roads) is decoded, cropped, resized, normalised
and answered; `network` is the forward pass alone on prepared pixels. The networks have random weights, placed in memory
as `kinesics.load` does it. bf16 is measured only where the processor multiplies bfloat16 matrices itself.
The systems alternate inside every round, so that a slow phase of the machine hits all alike; times are processor time
of this process. `ratio` compares with FADNet of the text (preset paper, fp32) in the same round, above 1 is faster;
all are medians over rounds. Results: benchmarks/steering_speed.csv.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from kinesics.data.synthetic.roads import write_roads
from kinesics.engine.device import has_fast_bf16, place
from kinesics.engine.regressor import Regressor
from kinesics.engine.task import DataSpec
from kinesics.inference.predictor import Predictor
from kinesics.nn.backbones import count_parameters
from kinesics.systems import get_system
from kinesics.systems.recipe import make_recipe

HERE = Path(__file__).resolve().parent
SYSTEMS = (
    ("fadnet", "paper"), ("fadnet", "default"), ("fadnet", "release"), ("dronet", "default"), ("dronet", "paper"),
    ("cnn_regression", "default"), ("cnn_regression", "vgg16"), ("cnn_regression", "inception_v3"),
)  # fmt: skip
PICTURES = 16


class Speed:
    """One system under one preset and number format.

    Args:
        system, preset: as on the command line.
        precision: fp32 or bf16.
        files: pictures.
    """

    def __init__(self, system: str, preset: str, precision: str, files: list[str]) -> None:
        recipe, task_class = make_recipe(system, {"data": "-", "preset": preset}), get_system(system).task_class
        self.input, self.files, self.precision = recipe.input, files, precision
        torch.manual_seed(0)
        asked = recipe.input
        spec = DataSpec((), asked.size, asked.channels, asked.mean, asked.std, n_train=0, crop=asked.crop)
        task = task_class.build(recipe.task, spec).eval()
        assert isinstance(task, Regressor)
        place(task, torch.device("cpu"))
        self.task, self.predictor = task, Predictor(task, system)
        pixels = torch.from_numpy(self.predictor.pixels(files[0])[None].copy())
        self.image = task.transform({"image": pixels, "index": torch.zeros(1, dtype=torch.int64)}, None)["image"]

    def whole(self, k: int) -> None:
        """Answer for file number `k`."""
        self.predictor(self.files[k % len(self.files)])

    def alone(self, k: int) -> None:
        """The forward pass."""
        with torch.inference_mode():
            self.task.angles(self.image)

    def rate(self, work: Callable[[int], None], seconds: float) -> float:
        """Frames a second of processor time, over at least `seconds` and 2 frames."""
        casting = torch.autocast("cpu", torch.bfloat16) if self.precision == "bf16" else contextlib.nullcontext()
        done, began = 0, time.process_time()
        with casting:
            while done < 2 or time.process_time() - began < seconds:
                work(done)
                done += 1
        return done / (time.process_time() - began)


def main() -> None:
    """Time every system and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.1, help="of each measurement")
    parser.add_argument("--out", type=Path, default=HERE / "steering_speed.csv")
    given = parser.parse_args()
    torch.set_num_threads(1)
    precisions = ("fp32", "bf16") if has_fast_bf16(torch.device("cpu")) else ("fp32",)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        write_roads(folder, PICTURES, 0, 0, seed=0, silos=4)
        files = sorted(str(path) for path in Path(folder).rglob("*.jpg"))
        made = [Speed(*name, precision, files) for name in SYSTEMS for precision in precisions]
        whole: list[list[float]] = [[] for _ in made]
        alone: list[list[float]] = [[] for _ in made]
        for speed in made:  # once unmeasured: kernels are chosen and memory is fetched
            speed.rate(speed.whole, 0.0)
        for _ in range(given.rounds):
            for speed, all_of_it, network in zip(made, whole, alone, strict=True):
                all_of_it.append(speed.rate(speed.whole, given.seconds))
                network.append(speed.rate(speed.alone, given.seconds))
    names = [(system, preset) for system, preset in SYSTEMS for _ in precisions]
    for (system, preset), speed, all_of_it, network in zip(names, made, whole, alone, strict=True):
        ratio, ratio_network = (
            statistics.median(a / b for a, b in zip(mine, base, strict=True))
            for mine, base in ((all_of_it, whole[0]), (network, alone[0]))
        )
        rows.append(
            {
                "system": system, "preset": preset, "precision": speed.precision, "size": speed.input.size,
                "channels": speed.input.channels, "parameters": count_parameters(speed.task.model),
                "fps": round(statistics.median(all_of_it), 1), "fps_network": round(statistics.median(network), 1),
                "ratio": round(ratio, 3), "ratio_network": round(ratio_network, 3), "rounds": given.rounds,
            }
        )  # fmt: skip
        print(rows[-1], flush=True)
    with given.out.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
