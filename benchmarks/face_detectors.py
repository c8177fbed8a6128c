"""How many faces the detectors find, how many things that are none, and what that costs.

    OMP_NUM_THREADS=1 python benchmarks/face_detectors.py MEDIA FERPLUS [--faces 24]

MEDIA is a folder with the files that benchmarks/face_boxes.csv names: boxes from the middle of the forehead to the chin
and from edge to edge of the face, made by hand (an empty box: the frame shows no face). FERPLUS has the FER+ sheets
(see ferplus_manifest.py): faces of 24 to 200 pixels are pasted at known places onto plain, noisy and drawn backgrounds,
six to a picture of 960 x 640 pixels, and the pasted square is the truth.

A face is found if a box overlaps it by an intersection over union of 0.5; what is not matched so is false. Milliseconds
are processor time, a picture, median. `video` detectors are those that `kinesics predict` takes for
videos. The last lines printed are the margin and the shift that turn a detector's boxes into FER2013's frame
(`vision.crop.DETECTED`), the median over faces found of 96 pixels and more. Results: benchmarks/face_detectors.csv.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy.optimize import linear_sum_assignment

from kinesics.data.synthetic.road_camera import Camera
from kinesics.data.synthetic.road_car import place
from kinesics.data.synthetic.road_drawing import Painter
from kinesics.data.synthetic.road_scenes import LIGHTS, SCENES, WEATHERS
from kinesics.data.synthetic.road_track import Road
from kinesics.files import atomic_write
from kinesics.vision.detectors import make_detector
from kinesics.vision.faces import FaceDetector, overlaps
from kinesics.vision.media import read_picture
from kinesics.vision.video import is_video, read_video

HERE = Path(__file__).resolve().parent
SIZES = (24, 32, 48, 64, 96, 128, 200)
BACKGROUNDS = ("plain", "noisy", "drawn")
TILE, CELL = 48, (320, 320)

DETECTORS: dict[str, dict[str, object]] = {
    "dlib+haar": {}, "dlib": {}, "haar": {}, "dlib, no upsampling": {"upsample": 0},
    "dlib, upsampled twice": {"upsample": 2}, "dlib+haar, video": {"video": True}, "dlib, video": {"video": True},
}  # fmt: skip

Example = tuple[str, str, np.ndarray, np.ndarray]
"""Set, size, picture and (N, 4) true boxes."""


def main() -> None:
    """Measure and write the CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("media", type=Path)
    parser.add_argument("ferplus", type=Path)
    parser.add_argument("--faces", type=int, default=24, help="pasted faces of each size on each background")
    given = parser.parse_args()
    examples = [*by_hand(given.media), *pasted(given.ferplus, given.faces)]
    rows = []
    for name, options in DETECTORS.items():
        detector = make_detector(name.split(",")[0], **options)  # type: ignore[arg-type]
        rows += judge(name, detector, examples)
        print(name, [row for row in rows if row["detector"] == name and row["set"] == "media"], flush=True)
    with atomic_write(HERE / "face_detectors.csv", "w") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def by_hand(media: Path) -> Iterator[Example]:
    """The pictures and frames of face_boxes.csv."""
    table = pd.read_csv(HERE / "face_boxes.csv")
    for (name, number), part in table.groupby(["file", "frame"], sort=False):
        path = media / str(name)
        if is_video(path):
            picture = next(frame.image for frame in read_video(path) if frame.index == number)
        else:
            picture = read_picture(path)
        yield "media", str(name), picture, part[["x", "y", "w", "h"]].dropna().to_numpy(dtype=np.float64)


def pasted(ferplus: Path, faces: int) -> Iterator[Example]:
    """FER+ faces at known places."""
    table = pd.read_csv(ferplus / "labels.csv")
    usable = np.flatnonzero((table["usage"] != "Training") & (table["v_NF"] == 0) & (table["v_unknown"] <= 1))
    rng = np.random.default_rng(0)
    for background in BACKGROUNDS:
        for size in SIZES:
            chosen = rng.choice(usable, faces, replace=False)
            for k in range(0, faces, 6):
                canvas = backdrop(background, rng)
                boxes = []
                for cell, number in enumerate(chosen[k : k + 6]):
                    left = cell % 3 * CELL[0] + int(rng.integers(4, CELL[0] - size - 4))
                    top = cell // 3 * CELL[1] + int(rng.integers(4, CELL[1] - size - 4))
                    face = tile(ferplus, int(number)).resize((size, size), Image.Resampling.BICUBIC)
                    canvas.paste(face, (left, top))
                    boxes.append((left, top, size, size))
                yield background, str(size), np.asarray(canvas), np.array(boxes, dtype=np.float64)


def tile(ferplus: Path, index: int) -> Image.Image:
    """Face `index` of the sheets, RGB."""
    with Image.open(ferplus / f"sheet_{index // 1024:02d}.png") as sheet:
        left, top = index % 1024 % 32 * TILE, index % 1024 // 32 * TILE
        return sheet.crop((left, top, left + TILE, top + TILE)).convert("RGB")


def backdrop(kind: str, rng: np.random.Generator) -> Image.Image:
    """960 x 640 RGB: one colour, coloured noise of several sizes, or a drawn road."""
    if kind == "plain":
        return Image.new("RGB", (960, 640), tuple(int(c) for c in rng.integers(40, 216, 3)))
    if kind == "noisy":
        layers = [rng.normal(0, 40, (640 // s, 960 // s, 3)).repeat(s, 0).repeat(s, 1) for s in (1, 4, 16, 64)]
        return Image.fromarray(np.clip(128 + sum(layers), 0, 255).astype(np.uint8))
    road = Road.random(int(rng.integers(1 << 30)))
    scene = list(SCENES.values())[int(rng.integers(len(SCENES)))]
    painter = Painter(road, scene, WEATHERS["clear"], LIGHTS["noon"], Camera())
    return Image.fromarray(painter(place(road, 0.0), 0)).resize((960, 640), Image.Resampling.BICUBIC)


def judge(name: str, detector: FaceDetector, examples: list[Example]) -> list[dict[str, object]]:
    """A row a set and size."""
    counts: dict[tuple[str, str], list[tuple[int, int, int, float]]] = {}
    frames = []
    for kind, size, picture, truth in examples:
        began = time.process_time()
        faces = detector(picture)
        seconds = time.process_time() - began
        boxes = np.array([face.box for face in faces]).reshape(-1, 4)
        share = overlaps(truth, boxes)
        rows, columns = linear_sum_assignment(share, maximize=True)
        hits = [(i, j) for i, j in zip(rows, columns, strict=True) if share[i, j] >= 0.5]
        if kind != "media" and int(size) >= 96:
            frames += [(truth[i], boxes[j]) for i, j in hits]
        found = (len(truth), len(hits), len(boxes) - len(hits), seconds)
        counts.setdefault((kind, size if kind != "media" else "all"), []).append(found)
        if kind == "media":
            counts.setdefault((kind, size), []).append(found)
    if frames:
        true, box = np.array([a for a, _ in frames]), np.array([b for _, b in frames])
        margin = np.median(true[:, 2] / box[:, 2] - 1) / 2
        shift = np.median((true[:, 1] + true[:, 3] / 2 - box[:, 1] - box[:, 3] / 2) / box[:, 3])
        print(f"{name}: margin {margin:.3f}, shift {shift:.3f} over {len(frames)} faces", flush=True)
    return [
        {
            "set": kind, "size": size, "detector": name, "faces": faces, "found": hits, "false": false,
            "recall": round(hits / faces, 3) if faces else "",
            "precision": round(hits / (hits + false), 3) if hits + false else "", "ms": round(1000 * ms),
        }
        for (kind, size), part in counts.items()
        for faces, hits, false in [tuple(sum(item[k] for item in part) for k in range(3))]
        for ms in [statistics.median(item[3] for item in part)]
    ]  # fmt: skip


if __name__ == "__main__":
    main()
