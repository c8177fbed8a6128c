"""kinesics predict: answer for the faces in photographs and videos, for cropped faces, or for views of a road.

kinesics predict photo.jpg clip.mp4 folder/ --out results.csv --draw out/     with the model that ships
kinesics predict RUN faces/*.png                                              with a run of your own
kinesics predict --model model.onnx photo.jpg                                 with an exported file, without PyTorch
kinesics predict --webcam 0                                                   from a camera, until Ctrl-C
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kinesics.cli.arguments import Parser

if TYPE_CHECKING:
    from kinesics.cli.sources import Item
    from kinesics.engine.prediction import Prediction
    from kinesics.inference.reader import Reader


def main(argv: Sequence[str]) -> int:
    """Run the verb.

    Returns:
        0 done, 1 some files could not be read and were passed over, 130 stopped by Ctrl-C with what was done kept.
    """
    given = _parser().parse_args(list(argv))
    from kinesics.cli.sources import choose_model, items_of
    from kinesics.errors import UserError, require
    from kinesics.inference.loading import is_exported, load

    require(1 <= given.rate <= 60, "--rate", given.rate, "1 to 60")
    name, words = choose_model(given.words, given.model)
    if given.webcam is None and not words:
        raise UserError("nothing to answer for", hint="name pictures, videos or folders, or give --webcam 0")
    if given.webcam is not None and words:
        raise UserError(f"--webcam takes no files; got {words[0]}", hint="one or the other")
    if given.support is not None and name is not None and is_exported(name):
        raise UserError("--support needs the gradients of a run; an exported file has none", hint="give the run")
    items = items_of(words, given.where)
    predictor = load(name, last=given.last, device=given.device)
    if predictor.classes and given.video is None and given.support is None:
        from kinesics.cli.recognising import recognise

        return recognise(predictor, items, given, shipped=name is None)
    return _whole(predictor, items, given, name or "the shipped model")


def _parser() -> Parser:
    parser = Parser(prog="kinesics predict", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "words", nargs="*", metavar="[RUN] FILE",
        help="first, if wanted, a run directory, a shipped model's name or an exported .onnx file; then "
        "pictures, videos, folders of them, or manifests, whose order is kept",
    )  # fmt: skip
    parser.add_argument(
        "--model", help="the model, said by name: a run directory, a shipped model, or an exported .onnx file, for "
        "which PyTorch is not needed; by default the model that ships",
    )  # fmt: skip
    parser.add_argument(
        "--where", action="append", default=[], metavar="COLUMN=VALUE", help="of manifests only such rows (repeatable)"
    )
    parser.add_argument("--last", action="store_true", help="use the last epoch's weights instead of the kept ones")
    parser.add_argument("--device", default="cpu", help="of a run: auto, cpu, cuda or cuda:N (cpu)")
    out = parser.add_argument_group("what comes out")
    out.add_argument("--out", type=Path, help="write there instead of printing; its ending says the format")
    out.add_argument(
        "--format", choices=("table", "csv", "jsonl", "parquet"),
        help="by default --out's ending, csv for others; without --out a table: a line a face of a picture, a line a "
        "person of a video",
    )  # fmt: skip
    out.add_argument(
        "--draw", type=Path, metavar="FOLDER",
        help="write there: pictures and videos (with their sound) with the answers on them, and each video's timeline",
    )  # fmt: skip
    out.add_argument(
        "--on-bad-image", choices=("error", "skip"),
        help="error: stop, nothing is written; skip: leave it out. By default files that can't be read stop a run of "
        "whole pictures, and are passed over, with exit code 1, where faces are searched",
    )  # fmt: skip
    out.add_argument(
        "--abstain", type=float, metavar="SHARE",
        help='say "abstain" instead of a label where the answer is less certain than all but this share of the '
        "answers on validation data, e.g. 0.3",
    )  # fmt: skip
    out.add_argument("--abstain-above", type=float, metavar="U", help="the same, above this uncertainty in [0, 1]")
    faces = parser.add_argument_group("faces")
    faces.add_argument(
        "--faces", "--detector", default="auto", metavar="HOW",
        help="auto, whole (pictures are cropped faces), find (the default detector), dlib+haar, dlib, haar, or a "
        "file.onnx (YuNet, SCRFD). auto: videos are searched; pictures, too, if larger than 128 pixels and the model "
        "is one that ships or was trained on boxes",
    )  # fmt: skip
    video = parser.add_argument_group("videos")
    video.add_argument("--every", type=int, default=1, metavar="N", help="take one frame of N (1)")
    video.add_argument("--fps", type=float, help="take at most so many frames a second")
    video.add_argument("--start", type=float, default=0.0, help="seconds (0)")
    video.add_argument("--end", type=float, help="seconds; of a camera: stop then")
    video.add_argument("--detect-every", type=int, default=5, metavar="N", help="search one frame of N for faces (5)")
    video.add_argument(
        "--smooth", type=float, default=0.0, metavar="SECONDS",
        help="extra columns smooth_<class>: the distribution averaged over a person's last seconds",
    )  # fmt: skip
    video.add_argument("--webcam", metavar="N", help="a camera's number, or a video file played in its place")
    steering = parser.add_argument_group("steering")
    steering.add_argument(
        "--video", type=Path, metavar="FILE",
        help="film the answers, with the truth where a manifest knows it (.mp4 with PyAV, or .gif)",
    )  # fmt: skip
    steering.add_argument("--rate", type=int, default=10, help="the film's pictures per second (10)")
    steering.add_argument("--support", type=Path, metavar="FOLDER", help="write pictures there of which pixels steer")
    return parser


def _whole(predictor: Reader, items: Sequence[Item], given: Any, name: str) -> int:
    """Answers for whole pictures by a model without classes: a table, a film, support maps."""
    import numpy as np

    from kinesics.cli.recognising import kind_of, print_answers
    from kinesics.errors import UserError
    from kinesics.inference.rows import RowWriter
    from kinesics.progress import log
    from kinesics.vision.film import VideoWriter

    _must_be_pictures(items, given)
    files = [item.path for item in items]
    with ExitStack() as stack:
        film = None
        if given.video is not None:
            _must_steer(predictor, name)
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
            from kinesics.inference.steering.answer_video import film_steering

            angles = [prediction.angle for prediction in found]  # type: ignore[attr-defined]
            truth = np.array([items[k].target for k in places])
            rmse = film_steering(film, [files[k] for k in places], np.array(angles), truth)
    if film is not None:
        error = "" if math.isnan(rmse) else f", RMSE {rmse:.4f}"
        log.info("%s: %d pictures, %.1f s%s", given.video, len(found), len(found) / given.rate, error)
        if given.format is None and given.out is None:
            return 0
    kind = kind_of(given.format, given.out)
    if kind == "table":
        print_answers(found)
        return 0
    from kinesics.engine.prediction import to_row

    with RowWriter(given.out, kind, list(dict.fromkeys(key for answer in found for key in to_row(answer)))) as rows:
        rows.add(found)
    return 0


def _must_be_pictures(items: Sequence[Item], given: Any) -> None:
    from kinesics.errors import UserError

    if given.webcam is not None or given.draw is not None or any(item.video for item in items):
        raise UserError("this model answers for single pictures: no video, no --webcam and no --draw")
    if boxed := next((item for item in items if item.box is not None), None):
        raise UserError(
            f"{boxed.path}: its manifest has boxes, which predict doesn't cut out for this model",
            hint="use kinesics evaluate --out, which does",
        )


def _answers(predictor: Reader, files: Sequence[Path], skip: bool) -> tuple[list[Prediction], list[int]]:
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


def _must_steer(predictor: Reader, run: str) -> None:
    from kinesics.errors import UserError

    if not predictor.steers:
        raise UserError(
            f"--video films steering, but {run} ({predictor.system}) answers with classes, not with an angle",
            hint="give a run of a steering system; --draw makes videos of faces",
        )


def _write_support(predictor: Reader, files: Sequence[str], folder: Path) -> None:
    """A picture of the support maps for each file; files of the same name get numbers."""
    from kinesics.cli.recognising import Names, write_picture
    from kinesics.inference.predictor import Predictor
    from kinesics.inference.steering.support import support_of

    assert isinstance(predictor, Predictor), "exported files are refused before anything is read"
    names = Names(folder)
    for file in files:
        write_picture(support_of(predictor, file).draw(), names(file, ".png"))
