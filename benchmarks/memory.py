"""Memory of a training on 300,000 images, measured with a made-up manifest.

    python benchmarks/memory.py [--rows 300000]

The manifest lists 1,000 drawn faces over and over. For each stage the table gives seconds and the process's resident
memory at its end, split by what the kernel may drop at any time (pages of the memory-mapped cache) and what it may not
(anonymous memory). Stages: reading the manifest, decoding into the cache, opening the cache again, building LDLVA
with its tables (uncertainty, neighbours, bank), neighbour search, 100 steps, one checkpoint. Results:
benchmarks/memory.csv.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from kinesics.data.cache import open_cache
from kinesics.data.emotions import BASIC
from kinesics.data.manifest import read
from kinesics.data.synthetic.faces import draw_faces
from kinesics.engine.average import Average
from kinesics.engine.config import FitConfig
from kinesics.engine.fit import Finite, train_step
from kinesics.engine.loading import to_samples
from kinesics.engine.resume import Progress, save_progress
from kinesics.engine.task import DataSpec
from kinesics.systems.ldlva.config import LDLVAConfig
from kinesics.systems.ldlva.neighbours import nearest
from kinesics.systems.ldlva.task import LDLVA

HERE = Path(__file__).resolve().parent


def resident() -> tuple[float, float]:
    """Resident memory now, MiB: (anonymous, file-backed)."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return tuple(int(fields[name].split()[0]) / 1024 for name in ("RssAnon", "RssFile"))  # type: ignore[return-value]


def main() -> None:
    """Run the stages and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--size", type=int, default=48)
    parser.add_argument("--out", type=Path, default=HERE / "memory.csv")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[dict[str, object]] = []

    def stage(name: str, began: float) -> None:
        anonymous, mapped = resident()
        rows.append(
            {
                "stage": name, "images": given.rows, "pixels": given.size,
                "seconds": round(time.perf_counter() - began, 1),
                "anonymous_mib": round(anonymous), "file_backed_mib": round(mapped),
            }
        )  # fmt: skip
        print(rows[-1], flush=True)

    stage("imports", time.perf_counter())
    with tempfile.TemporaryDirectory() as folder_name:
        folder = Path(folder_name)
        faces = draw_faces(1000, 0, size=given.size)
        for i, image in enumerate(faces.images):
            Image.fromarray(image[..., 0]).save(folder / f"{i}.png")
        with (folder / "m.csv").open("w") as stream:
            stream.write("path,label,split,valence,arousal\n")
            for i in range(given.rows):
                k = i % 1000
                v, a = faces.valence_arousal[k]
                stream.write(f"{k}.png,{BASIC[faces.label[k]]},train,{v:.4f},{a:.4f}\n")
        began = time.perf_counter()
        manifest = read(folder / "m.csv")
        stage("read manifest", began)
        began = time.perf_counter()
        open_cache(manifest, given.size, 1, folder / "cache")
        stage("decode into cache", began)
        began = time.perf_counter()
        cache = open_cache(manifest, given.size, 1, folder / "cache")
        train = to_samples(manifest, cache.images)
        stage("open cache again", began)
        began = time.perf_counter()
        task = LDLVA(LDLVAConfig(), DataSpec(BASIC, given.size, 1, 0.5, 0.25, given.rows))
        task.attach(train)
        stage("build LDLVA, bank of 256 features", began)
        began = time.perf_counter()
        place = train.columns["valence_arousal"] + np.random.default_rng(0).normal(0, 0.05, (given.rows, 2))
        task.neighbour_index.copy_(torch.from_numpy(nearest(place, 8)))
        task.neighbour_similarity.fill_(0.9)
        task.bank_probability.fill_(1 / 7)
        stage("nearest neighbours, K = 8", began)
        config = FitConfig(device="cpu")
        optimizers, average = task.optimizers(config), Average(task, 0.995)
        state, guard, scaler = Progress(), Finite(train, 0), torch.amp.GradScaler(enabled=False)
        task.train()
        began = time.perf_counter()
        rng = np.random.default_rng(0)
        for _ in range(100):
            chosen = rng.choice(given.rows, 64, replace=False)
            train_step(task, train, chosen, config, optimizers, 1.0, torch.float32, scaler, guard, state, 0)
            average.update(state.step)
            state.step += 1
            state.batch += 1
        stage("100 steps of 64", began)
        began = time.perf_counter()
        save_progress(folder, state, task, optimizers, average, scaler)
        stage("write a checkpoint", began)
    with given.out.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
