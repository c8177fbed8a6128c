"""What the service does under load, on the loopback address: latency, refusals, memory.

    python benchmarks/serve_load.py [--requests 2000] [--out benchmarks/serve_load.csv]

A server of its own process runs the shipped model (2 threads search for faces, 64 requests may wait). The pictures are
drawings. Rows:

- `crowd, searched`: 200 clients post a 480 x 360 picture at the same moment, once each; faces are searched.
- `crowd, whole`: the same with a picture of 96 pixels that is one face.
- `patient crowd`: 200 clients again, each coming back after Retry-After until it is answered; seconds from the first
  try.
- `memory`: 1,000 requests to warm up, then 2,000 from 8 clients: mostly faces, every tenth a picture that is searched,
  every hundredth a video, every hundredth damaged. `mib_before` is the resident memory after the warm-up, `mib_after`
  at the end, `mib_slope` the rise of a straight line through the readings after every 100 requests, over all of them.

Every status but 200, 429 and the 422 of damaged pictures is counted as an error.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import io
import os
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kinesics.data.synthetic.faces import write_faces

HERE = Path(__file__).resolve().parent
COLUMNS = (
    "case", "requests", "answered", "refused_429", "errors", "p50_s", "p95_s", "seconds", "answered_per_s",
    "mib_before", "mib_after", "mib_slope",
)  # fmt: skip


class Service:
    """The server process."""

    def __init__(self) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "kinesics", "serve", "--port", "0"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        assert self.process.stderr is not None
        said, found = "", None
        while found is None and (line := self.process.stderr.readline()):
            said, found = said + line, re.search(r"http://127\.0\.0\.1:\d+", line)
        if found is None:
            raise SystemExit(said)
        self.url = found[0]

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(30)


def encoded(image: Image.Image, form: str = "JPEG") -> bytes:
    """A picture as a file's bytes."""
    buffer = io.BytesIO()
    image.save(buffer, form, quality=90)
    return buffer.getvalue()


def film(image: Image.Image) -> bytes:
    """One second of a picture that moves."""
    import av

    buffer = io.BytesIO()
    pixels = np.asarray(image.resize((320, 240)))
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for k in range(10):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.roll(pixels, 3 * k, axis=1), "rgb24")))
        container.mux(stream.encode(None))
    return buffer.getvalue()


async def post(client: Any, data: bytes, patient: bool = False) -> tuple[int, float]:
    """Status and seconds of one upload."""
    began = time.perf_counter()
    while True:
        answer = await client.post("/predict", content=data, headers={"Content-Type": "application/octet-stream"})
        if answer.status_code != 429 or not patient:
            return answer.status_code, time.perf_counter() - began
        await asyncio.sleep(float(answer.headers["Retry-After"]))


async def crowd(client: Any, data: bytes, count: int, patient: bool) -> tuple[list[tuple[int, float]], float]:
    """Many uploads at once: each one's status and seconds, and the seconds of all."""
    began = time.perf_counter()
    found = await asyncio.gather(*(post(client, data, patient) for _ in range(count)))
    return list(found), time.perf_counter() - began


async def memory(client: Any, uploads: list[bytes], total: int) -> tuple[list[tuple[int, float]], list[float], float]:
    """Uploads from 8 clients in turn: statuses and seconds, MiB after every 100 requests, and the seconds of all."""
    found: list[tuple[int, float]] = []
    resident = [await mebibytes(client)]
    began = time.perf_counter()
    for start in range(0, total, 8):
        part = [uploads[(start + k) % len(uploads)] for k in range(min(8, total - start))]
        found += await asyncio.gather(*(post(client, data, True) for data in part))
        if len(found) // 100 > len(resident) - 1:
            resident.append(await mebibytes(client))
    return found, resident, time.perf_counter() - began


async def mebibytes(client: Any) -> float:
    """The server's resident memory."""
    text = (await client.get("/metrics")).text
    return float(re.findall(r"(?m)^process_resident_memory_bytes (\S+)$", text)[0]) / 2**20


def row(
    case: str, found: list[tuple[int, float]], seconds: float, resident: list[float] | None = None
) -> dict[str, Any]:
    """One line of the table."""
    statuses = Counter(status for status, _ in found)
    spent = [time_ for status, time_ in found if status == 200]
    values: dict[str, Any] = {
        "case": case, "requests": len(found), "answered": statuses[200], "refused_429": statuses[429],
        "errors": len(found) - statuses[200] - statuses[429] - statuses[422], "seconds": round(seconds, 1),
        "p50_s": round(float(np.quantile(spent, 0.5)), 3), "p95_s": round(float(np.quantile(spent, 0.95)), 3),
        "answered_per_s": round(len(spent) / seconds, 1),
    }  # fmt: skip
    if resident:
        slope = np.polyfit(np.linspace(0, 1, len(resident)), resident, 1)[0]
        values |= {
            "mib_before": round(resident[0], 1),
            "mib_after": round(resident[-1], 1),
            "mib_slope": round(float(slope), 1),
        }
    print(values, flush=True)
    return values


async def measure(url: str, requests: int, scratch: Path) -> list[dict[str, Any]]:
    """All rows."""
    import httpx

    write_faces(scratch, 4, 1, 1, seed=0, size=96)
    face = Image.open(sorted(scratch.rglob("*.png"))[0]).convert("RGB")
    scene = Image.new("RGB", (480, 360), (120, 130, 140))
    scene.paste(face.resize((160, 160)), (60, 80))
    scene.paste(face.resize((120, 120)), (300, 150))
    whole, searched, clip = encoded(face), encoded(scene), film(scene)
    rows = []
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=url, timeout=300, limits=limits, verify=False) as client:
        await crowd(client, whole, 20, True)
        for case, data, patient in (
            ("crowd, searched", searched, False), ("crowd, whole", whole, False), ("patient crowd", whole, True),
        ):  # fmt: skip
            found, seconds = await crowd(client, data, 200, patient)
            rows.append(row(case, found, seconds))
        uploads = [searched if k % 10 == 5 else whole for k in range(100)]
        uploads[50], uploads[75] = clip, searched[:2000]
        await memory(client, uploads, min(1000, requests))
        found, resident, seconds = await memory(client, uploads, requests)
        rows.append(row("memory", found, seconds, resident))
        print("MiB after every 100 requests:", " ".join(f"{value:.0f}" for value in resident))
    return rows


def main() -> None:
    """Measure, print, write."""
    import tempfile

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--out", type=Path, default=HERE / "serve_load.csv")
    given = parser.parse_args()
    service = Service()
    try:
        with tempfile.TemporaryDirectory() as scratch:
            rows = asyncio.run(measure(service.url, given.requests, Path(scratch)))
    finally:
        service.stop()
    with given.out.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
