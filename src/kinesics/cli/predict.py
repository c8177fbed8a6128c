"""kinesics predict: answer for cropped faces or views of a road, as a table, CSV, JSON lines or a film."""

from __future__ import annotations

import csv
import json
import math
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kinesics.cli.arguments import Parser

if TYPE_CHECKING:
    import numpy as np

    from kinesics.engine.prediction import Prediction
    from kinesics.inference.images import ImagePredictor

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
TABLES = (".csv", ".parquet", ".pq")


def main(argv: Sequence[str]) -> int:
    """Run the verb."""
    parser = Parser(prog="kinesics predict", description=__doc__)
    if not (exported := any(word.split("=")[0] == "--model" for word in argv)):
        parser.add_argument("run", help="run directory or the name of a shipped model; left out with --model")
    parser.add_argument("images", nargs="+", help="image files, folders of them, or manifests, whose order is kept")
    parser.add_argument("--model", metavar="FILE", help="an exported .onnx file in place of a run, without PyTorch")
    parser.add_argument(
        "--where", action="append", default=[], metavar="COLUMN=VALUE", help="of manifests only such rows (repeatable)"
    )
    parser.add_argument("--format", choices=("table", "csv", "jsonl"), help="table; with --video and no --out, none")
    parser.add_argument("--out", type=Path, help="write there instead of printing")
    parser.add_argument(
        "--video", type=Path, metavar="FILE",
        help="steering: film the answers, with the truth where a manifest knows it (.mp4 with PyAV, or .gif)",
    )  # fmt: skip
    parser.add_argument("--rate", type=int, default=10, help="the film's pictures per second")
    parser.add_argument(
        "--support", type=Path, metavar="FOLDER", help="steering: write pictures there that show which pixels steer"
    )
    parser.add_argument("--last", action="store_true", help="use the last epoch's weights instead of the kept ones")
    parser.add_argument("--on-bad-image", default="error", choices=("error", "skip"))
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args(list(argv))
    import numpy as np

    from kinesics.errors import UserError, require
    from kinesics.inference.loading import load
    from kinesics.progress import log

    require(1 <= given.rate <= 60, "--rate", given.rate, "1 to 60")
    if exported:
        given.run = given.model
        if given.support is not None:
            raise UserError("--support needs the gradients of a run; an exported model has none", hint="give the run")
    files, truth = _files(given.images, given.where)
    predictor = load(given.run, last=given.last, device=given.device)
    with ExitStack() as stack:
        film = None
        if given.video is not None:
            from kinesics.inference.driving_video import VideoWriter

            _must_steer(predictor, given.run)
            film = stack.enter_context(VideoWriter(given.video, given.rate))
        began = time.perf_counter()
        found, places = _answers(predictor, files, given.on_bad_image == "skip")
        if not found:
            raise UserError(f"none of the {len(files)} images could be read")
        seconds = time.perf_counter() - began
        log.info("%d images in %.1f s, %.1f a second", len(found), seconds, len(found) / seconds)
        if given.support is not None:
            _write_support(predictor, [prediction.source for prediction in found], given.support)
        if film is not None:
            from kinesics.inference.steering_video import film_steering

            angles = [prediction.angle for prediction in found]  # type: ignore[attr-defined]
            rmse = film_steering(film, [files[k] for k in places], np.array(angles), truth[places])
    if film is not None:
        error = "" if math.isnan(rmse) else f", RMSE {rmse:.4f}"
        log.info("%s: %d pictures, %.1f s%s", given.video, len(found), len(found) / given.rate, error)
        if given.format is None and given.out is None:
            return 0
    _write(found, given.format or "table", given.out)
    return 0


def _answers(predictor: ImagePredictor, files: Sequence[Path], skip: bool) -> tuple[list[Prediction], list[int]]:
    """Answers for all files that can be read, and the files' positions."""
    from kinesics.errors import UserError
    from kinesics.progress import log, track

    found: list[Prediction] = []
    places: list[int] = []
    for start in track(range(0, len(files), 256), "predicting"):
        part = list(range(start, min(start + 256, len(files))))
        try:
            found += predictor([str(files[k]) for k in part])
            places += part
        except UserError:
            if not skip:
                raise
            for k in part:
                try:
                    found += predictor(str(files[k]))
                    places.append(k)
                except UserError as error:
                    log.warning("left out: %s", error.message)
    return found, places


def _write(found: Sequence[Prediction], kind: str, out: Path | None) -> None:
    """Print or write the answers."""
    from kinesics.engine.prediction import to_frame
    from kinesics.files import atomic_write

    if kind == "table" and out is None:
        _print(found)
        return
    if kind == "jsonl":
        text = "".join(json.dumps(prediction.to_dict()) + "\n" for prediction in found)
    else:
        text = to_frame(found).to_csv(index=False, quoting=csv.QUOTE_MINIMAL, lineterminator="\n")
    if out is None:
        sys.stdout.write(text)
    else:
        with atomic_write(out, "w") as stream:
            stream.write(text)


def _must_steer(predictor: ImagePredictor, run: str) -> None:
    from kinesics.errors import UserError

    if not predictor.steers:
        raise UserError(
            f"--video films steering, but {run} ({predictor.system}) answers with classes, not with an angle",
            hint="give a run of a steering system",
        )


def _write_support(predictor: ImagePredictor, files: Sequence[str], folder: Path) -> None:
    """A picture of the support maps for each file; files of the same name get numbers."""
    import io

    from kinesics.files import atomic_write
    from kinesics.inference.predictor import Predictor
    from kinesics.inference.support import support_of

    assert isinstance(predictor, Predictor)
    taken: set[str] = set()
    for file in files:
        stem, number = Path(file).stem, 1
        while stem in taken:
            stem, number = f"{Path(file).stem}-{number}", number + 1
        taken.add(stem)
        buffer = io.BytesIO()
        support_of(predictor, file).draw().save(buffer, "PNG")
        with atomic_write(folder / f"{stem}.png") as stream:
            stream.write(buffer.getvalue())


def _files(words: Sequence[str], where: Sequence[str]) -> tuple[list[Path], np.ndarray]:
    """Files as given, folders by their image files, sorted, manifests by their rows; and (N,) targets, NaN where no
    manifest has one."""
    import numpy as np

    from kinesics.errors import UserError

    found: list[Path] = []
    targets: list[np.ndarray] = []
    if where and not any(Path(word).suffix.lower() in TABLES for word in words):
        raise UserError(f"--where {where[0]} chooses rows of a manifest, but none is given", hint="name its .csv file")
    for word in words:
        path, target = Path(word), None
        if path.is_dir():
            inside = sorted(item for item in path.rglob("*") if item.suffix.lower() in SUFFIXES)
            if not inside:
                raise UserError(f"{path} holds no image files ({', '.join(SUFFIXES)})")
        elif path.is_file():
            inside, target = _rows(path, where) if path.suffix.lower() in TABLES else ([path], None)
        else:
            raise UserError(f"{path}: there is no such file or folder")
        found += inside
        targets.append(np.full(len(inside), np.nan) if target is None else target)
    return found, np.concatenate(targets)


def _rows(path: Path, where: Sequence[str]) -> tuple[list[Path], np.ndarray | None]:
    """Files and targets of the rows of a manifest that `where` names."""
    import numpy as np

    from kinesics.data.manifest import read
    from kinesics.errors import UserError

    manifest = read(path)
    for condition in where:
        name, sign, value = condition.partition("=")
        if not sign:
            raise UserError(f"--where must be COLUMN=VALUE; got {condition!r}", hint="for example --where silo=lake")
        cells = manifest.column(name)
        if cells.dtype == np.float64:
            try:
                chosen = cells == float(value)
            except ValueError:
                raise UserError(f"--where {condition}: the column {name} holds numbers") from None
        else:
            chosen = cells == value
        if not chosen.any():
            known = list(dict.fromkeys(str(cell) for cell in cells))
            listed = ", ".join(known[:8]) + (f" and {len(known) - 8} more" if len(known) > 8 else "")
            raise UserError(f"--where {condition}: {path} has no such row; {name} is {listed or 'empty'}")
        manifest = manifest.take(chosen)
    boxes = manifest.boxes()
    if boxes is not None and np.isfinite(boxes).any():
        raise UserError(
            f"{path} has boxes, which predict doesn't cut out", hint="use kinesics evaluate --out, which does"
        )
    targets: Any = manifest.targets()
    return manifest.files(), None if targets is None else targets.astype(np.float64)


def _print(found: Sequence[object]) -> None:
    from kinesics.cli.tables import print_table

    rows = []
    for prediction in found:
        answer = prediction.to_dict()  # type: ignore[attr-defined]
        ranked = sorted(answer.pop("distribution", {}).items(), key=lambda item: -item[1])
        shares = "  ".join(f"{name} {share:.0%}" for name, share in ranked[:3])
        row = {"image": answer.pop("source"), **answer}
        if shares:
            row["distribution"] = shares
        rows.append(row)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    print_table("", columns, [[row.get(key, "") for key in columns] for row in rows])
