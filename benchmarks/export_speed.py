"""Recognition alone, exported against eager: pixels in memory to probabilities, one thread, ratios within one run.

    OMP_NUM_THREADS=1 python benchmarks/export_speed.py MANIFEST [--rounds 15]

MANIFEST is the all.csv that benchmarks/ferplus_manifest.py makes; the model is the shipped one. It is exported in fp32
and in int8 (calibrated on 512 training faces), and each file answers for batches of 32 test faces, given as bytes:

    eager        the task as `kinesics.load` places it (channels_last), normalisation, network, softmax
    eager_bf16   the same under bfloat16 autocast
    onnx         model.onnx on onnxruntime
    onnx_int8    model-int8.onnx on onnxruntime

They alternate inside every round, so that a slow phase of the machine hits all alike; times are processor time of this
process. Ratios are medians over rounds of the ratio within the round, above 1 is faster. `accuracy` is over all test
faces against the FER+ majority. `gflops` counts two operations a multiplication in the convolutions; `gemm` is what
this core reaches in a 768 x 768 matrix product in the same run: no direct fp32 convolution can be faster.
Results: benchmarks/export_speed.csv.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from kinesics.inference.export.samples import of_manifest
from kinesics.inference.export.session import export_run
from kinesics.inference.onnx import open_session
from kinesics.inference.predictor import load

HERE = Path(__file__).resolve().parent
MODEL, BATCH = "ferplus-compact", 32


def eager(task: Any, precision: torch.dtype | None) -> Callable[[np.ndarray], np.ndarray]:
    """(B, H, W, C) uint8 -> (B, K) probabilities by the task itself."""

    @torch.inference_mode()
    def answer(images: np.ndarray) -> np.ndarray:
        batch = {"image": torch.from_numpy(images), "index": torch.arange(len(images))}
        with torch.autocast("cpu", precision or torch.bfloat16, enabled=precision is not None):
            _, logits = task.features_and_logits(task.transform(batch, None)["image"])
        return torch.softmax(logits.double() / task.calibration["temperature"], 1).numpy()

    return answer


def graph(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """The same by an exported file."""
    session = open_session(path, threads=1)
    return lambda images: session.run(None, {"image": images})[0]


def multiplications(task: Any) -> int:
    """Of all convolutions, for one image."""
    counted = [0]

    def count(layer: Any, _: Any, output: torch.Tensor) -> None:
        counted[0] += output[0].numel() * layer.weight[0].numel()

    hooks = [m.register_forward_hook(count) for m in task.model.modules() if isinstance(m, nn.Conv2d)]
    with torch.inference_mode():
        task.model(torch.zeros(1, task.spec.channels, task.spec.size, task.spec.size))
    for hook in hooks:
        hook.remove()
    return counted[0]


def seconds(work: Callable[[], Any], repeat: int) -> float:
    """Processor time of one call, after one unmeasured."""
    work()
    began = time.process_time()
    for _ in range(repeat):
        work()
    return (time.process_time() - began) / repeat


def accuracy(answer: Callable[[np.ndarray], np.ndarray], images: np.ndarray, label: np.ndarray) -> float:
    """Share of images whose most probable class is the label."""
    best = [answer(images[k : k + BATCH]).argmax(1) for k in range(0, len(images), BATCH)]
    return float((np.concatenate(best) == label).mean())


def main() -> None:
    """Time everything and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, default=HERE / "export_speed.csv")
    given = parser.parse_args()
    torch.set_num_threads(1)
    task = load(MODEL).task
    pictures = of_manifest(task, given.manifest, 512)
    assert pictures.truth is not None
    with tempfile.TemporaryDirectory() as folder:
        files = {"onnx": Path(folder, "model.onnx"), "onnx_int8": Path(folder, "model-int8.onnx")}
        for name, path in files.items():
            print(*export_run(MODEL, int8=name == "onnx_int8", out=path, data=given.manifest).lines, sep="\n")
        sizes = {name: path.stat().st_size for name, path in files.items()}
        ways = {"eager": eager(task, None), "eager_bf16": eager(task, torch.bfloat16)}
        ways |= {name: graph(path) for name, path in files.items()}
        images = pictures.check[:BATCH]
        matrix = torch.randn(768, 768)
        times: dict[str, list[float]] = {name: [] for name in (*ways, "gemm")}
        for _ in range(given.rounds):
            for name, answer in ways.items():
                times[name].append(seconds(lambda answer=answer: answer(images), 1 if name == "eager_bf16" else 4))
            times["gemm"].append(seconds(lambda: matrix @ matrix, 2))
        shares = {name: accuracy(a, pictures.check, pictures.truth.columns["label"]) for name, a in ways.items()}
    work = {name: 2 * multiplications(task) * BATCH for name in ways} | {"gemm": 2 * 768**3}
    rows = []
    for name, taken in times.items():
        against = {
            f"ratio_{other}": round(statistics.median(b / a for a, b in zip(taken, times[other], strict=True)), 3)
            for other in ("eager", "onnx")
        }
        row = {
            "way": name, "batch": BATCH, "ms": round(1000 * statistics.median(taken), 2),
            "gflops": round(work[name] / statistics.median(taken) / 1e9, 1), **against,
            "accuracy": round(shares[name], 4) if name in shares else "", "bytes": sizes.get(name, ""),
            "rounds": given.rounds,
        }  # fmt: skip
        if name == "gemm":
            row |= {"batch": "", "ratio_eager": "", "ratio_onnx": ""}
        rows.append(row)
        print(row, flush=True)
    with given.out.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
