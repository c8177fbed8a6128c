"""Frames a second of `kinesics predict` on a video, where the time goes, and whether memory grows with the length.

    OMP_NUM_THREADS=1 python benchmarks/video_speed.py VIDEO [--rounds 3]

VIDEO is decoded, searched for faces every five frames and at scene cuts, tracked in between, and every face in every
frame is recognised by the model that ships, for the default detector and for dlib alone; rows are written as CSV. `fps`
is by the clock, `fps_alone` what it would be if all of the processor time of the process were shared over two cores;
other work on the machine lowers the first, not the second. The seconds of decoding, searching (a thread beside the
others), tracking with cutting out, and recognising are by the clock, too. All are medians over rounds. `memory`
compares the peak resident memory of a process that answers for VIDEO and of one that answers for a file of ten times
its length, made by copying its packets. Results: benchmarks/video_speed.csv.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import torch

from kinesics.files import atomic_write
from kinesics.inference.predictor import load
from kinesics.inference.rows import RowWriter, columns_of
from kinesics.vision.video import read_video

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Measure and write the CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peak", action="store_true", help="print this process's peak memory for the video, MiB")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.peak:
        frames = answer(given.video, "find")["frames"]
        # not getrusage, which also knows the memory of the process that started this one
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        print(frames, float(status["VmHWM"].split()[0]) / 1024)
        return
    rounds: dict[str, list[dict[str, float]]] = {"dlib+haar": [], "dlib": []}
    for _ in range(given.rounds):
        for detector, results in rounds.items():
            results.append(answer(given.video, detector))
            print(detector, results[-1], flush=True)
    rows: list[dict[str, object]] = [
        {"what": detector, **{name: round(statistics.median(one[name] for one in results), 2) for name in results[0]}}
        for detector, results in rounds.items()
    ]
    with tempfile.TemporaryDirectory() as folder:
        longer = Path(folder, "longer.mp4")
        repeat(given.video, longer, 10)
        for path in (given.video, longer):
            frames, memory = peak(path)
            rows.append({"what": "peak memory", "frames": frames, "MiB": round(memory, 1)})
            print(rows[-1], flush=True)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with atomic_write(HERE / "video_speed.csv", "w") as stream:
        writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def answer(video: Path, detector: str) -> dict[str, float]:
    """Frames, frames a second, and seconds of each part."""
    predictor = load()
    stream = predictor.face_stream(detector)
    wall, own, frames, faces = time.perf_counter(), time.process_time(), 0, 0
    with (
        tempfile.TemporaryDirectory() as folder,
        RowWriter(Path(folder, "rows.csv"), "csv", columns_of(predictor.classes, True)) as rows,
    ):
        for _, answers in stream(read_video(video), str(video)):
            rows.add(answers)
            frames += 1
            faces += sum(not one.empty for one in answers)  # type: ignore[attr-defined]
    wall, own = time.perf_counter() - wall, time.process_time() - own
    return {"frames": frames, "faces": faces, "fps": frames / wall, "fps_alone": 2 * frames / own, **stream.seconds}


def repeat(source: Path, target: Path, times: int) -> None:
    """Write the pictures of `source` so many times one after the other, packets as they are."""
    with av.open(str(target), "w") as out:
        stream, shift = None, 0
        for _ in range(times):
            with av.open(str(source)) as container:
                video = container.streams.video[0]
                stream = stream or out.add_stream_from_template(video)
                end = 0
                for packet in container.demux(video):
                    if packet.dts is None:
                        continue
                    end = max(end, packet.pts + (packet.duration or 1))
                    packet.pts, packet.dts, packet.stream = packet.pts + shift, packet.dts + shift, stream
                    out.mux(packet)
                shift += end


def peak(video: Path) -> tuple[int, float]:
    """Frames of the video, and peak resident memory, MiB, of a process that answers for it."""
    command = [sys.executable, str(Path(__file__).resolve()), str(video), "--peak"]
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=alone)
    frames, memory = done.stdout.split()[-2:]
    return round(float(frames)), float(memory)


if __name__ == "__main__":
    main()
