"""The part of `kinesics predict` that answers for faces: pictures and videos one after the other, rows as they come."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kinesics.errors import UserError, require
from kinesics.files import make_folder
from kinesics.progress import log, track

if TYPE_CHECKING:
    from PIL.Image import Image

    from kinesics.cli.sources import Item
    from kinesics.engine.prediction import Emotion, Prediction
    from kinesics.inference.reader import Reader
    from kinesics.inference.rows import RowWriter
    from kinesics.inference.stream import Following
    from kinesics.vision.video import Frame

_LISTED = 200
"""Lines of the table for people; --out has them all."""


def recognise(predictor: Reader, items: Sequence[Item], given: Any, shipped: bool) -> int:
    """Answer for every item, write rows and drawings.

    Args:
        predictor: of a model with classes.
        items: pictures and videos.
        given: the flags of `kinesics predict`.
        shipped: whether no model was named.

    Returns:
        0 done, 1 some files could not be read, 130 stopped by Ctrl-C: what was done is written.
    """
    from kinesics.inference.rows import RowWriter, columns_of
    from kinesics.inference.stream import Following

    _check(given)
    withhold = _withholding(predictor, given)
    live = given.webcam is not None
    following = Following(given.detect_every, 1 if live else 32, 0 if live else 8, given.smooth)
    found = live or any(item.video for item in items) or _searches(predictor, given.faces)
    kind = kind_of(given.format, given.out)
    if live and kind == "table":
        kind = "csv"  # a camera has no end at which a table could be printed
    patient = given.on_bad_image == "skip" or (given.on_bad_image is None and found)
    work = _Work(predictor, given, following, withhold, patient)
    stopped = False
    with ExitStack() as stack:
        if kind != "table":
            columns = columns_of(predictor.classes, found, bool(given.smooth))
            work.rows = stack.enter_context(RowWriter(given.out, kind, columns))
        try:
            if live:
                work.camera(given.webcam)
            else:
                for item in items if any(item.video for item in items) else track(items, "predicting"):
                    work.item(item)
            work.flush()
        except KeyboardInterrupt:
            stopped = True
            work.drop()
        if not work.read and not stopped:
            raise UserError(f"none of the {len(items)} files could be read" if items else "no frame was read")
    work.tell(kind)
    if stopped:
        log.warning("stopped; what was answered until then is kept")
        return 130
    return 1 if work.bad and given.on_bad_image is None else 0


def _check(given: Any) -> None:
    """Refuse flags that are wrong for every file before the first is opened.

    Raises:
        UserError: a number out of range, no such detector, a folder of drawings that can't be made.
    """
    require(given.every >= 1, "--every", given.every, "at least 1")
    require(given.detect_every >= 1, "--detect-every", given.detect_every, "at least 1")
    require(given.fps is None or 0 < given.fps < math.inf, "--fps", given.fps, "above 0")
    require(0 <= given.start < math.inf, "--start", given.start, "0 or more")
    require(given.end is None or given.end > given.start, "--end", given.end, f"above --start, {given.start:g}")
    require(0 <= given.smooth < math.inf, "--smooth", given.smooth, "0 or more")
    if given.faces not in ("auto", "find", "whole"):
        from kinesics.vision.detectors import make_detector

        make_detector(given.faces)
    if given.draw is not None:
        make_folder(given.draw)


def kind_of(kind: str | None, out: Path | None) -> str:
    """The format of the answers: as said, by the file's ending, else CSV into files and a table on the terminal."""
    from kinesics.inference.rows import FORMATS

    if out is None:
        return kind or "table"
    return FORMATS.get(out.suffix.lower(), "csv") if kind in (None, "table") else str(kind)


def _searches(predictor: Reader, faces: str) -> bool:
    return predictor.form.finds if faces == "auto" else faces != "whole"


def _withholding(predictor: Reader, given: Any) -> Callable[[Prediction], Prediction]:
    from kinesics.inference.abstaining import abstain, threshold_of

    if given.abstain is not None and given.abstain_above is not None:
        raise UserError("--abstain and --abstain-above say the same twice", hint="give one of them")
    if given.abstain is None and given.abstain_above is None:
        return lambda answer: answer
    above = given.abstain_above
    if above is None:
        above = threshold_of(predictor.calibration, given.abstain)
    if not 0.0 <= above <= 1.0:
        raise UserError(f"--abstain-above must be in [0, 1]; got {above}")
    log.info('labels are withheld ("abstain") where the uncertainty exceeds %.3f', above)
    return lambda answer: abstain(answer, above)


@dataclass
class _Work:
    """Goes through items, and keeps count."""

    predictor: Reader
    given: Any
    following: Following
    withhold: Callable[[Prediction], Prediction]
    patient: bool
    rows: RowWriter | None = None
    read: int = 0
    faces: int = 0
    empty: list[str] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)
    shown: list[Prediction] = field(default_factory=list)
    people: list[_Person] = field(default_factory=list)
    _waiting: list[tuple[Path, list[Any], list[Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.names = Names(self.given.draw) if self.given.draw is not None else None

    def item(self, item: Item) -> None:
        """Answer for one; what can't be read is passed over where that is wanted."""
        try:
            if item.video:
                self.flush()
                self.video(item.path)
            else:
                self._waiting.append((item.path, *self._crops(item)))
                if sum(len(crops) for _, crops, _ in self._waiting) >= 64 or len(self._waiting) >= 256:
                    self.flush()
        except UserError as error:
            if not self.patient:
                raise
            log.warning("%s: %s", "left out" if self.given.on_bad_image else "can't be read", error.message)
            self.bad.append(str(item.path))

    def _crops(self, item: Item) -> tuple[list[Any], list[Any]]:
        if item.box is None:
            return self.predictor.faces_of(str(item.path), self.given.faces)
        from kinesics.data.decode import load_image

        form = self.predictor.form
        return [load_image(item.path, form.size, form.channels, item.box, form.crop, form.face)], [item.box]

    def flush(self) -> None:
        """Answer for the pictures that wait."""
        waiting, self._waiting = self._waiting, []
        slots = [
            slot for path, _, boxes in waiting
            for slot in ([(str(path), True, box) for box in boxes] or [(str(path), False, None)])
        ]  # fmt: skip
        answers = iter(self.predictor.filled(slots, [crop for _, crops, _ in waiting for crop in crops]))
        for path, _, boxes in waiting:
            mine = [self.withhold(next(answers)) for _ in range(max(len(boxes), 1))]
            self._take(mine)
            self.shown += mine[: max(_LISTED - len(self.shown), 0)]
            self.read += 1
            if not boxes:
                self.empty.append(str(path))
            if self.names is not None:
                from PIL import Image

                from kinesics.inference.draw import draw_answers
                from kinesics.vision.media import read_picture

                write_picture(Image.fromarray(draw_answers(read_picture(path), mine)), self.names(path, ".png"))

    def drop(self) -> None:
        """Forget the pictures that wait: they are not answered yet."""
        self._waiting = []

    def _take(self, answers: Sequence[Prediction]) -> None:
        self.faces += sum(not _empty(answer) for answer in answers)
        if self.rows is not None:
            self.rows.add(answers)

    def video(self, path: Path) -> None:
        """Answer for a video."""
        from kinesics.vision.video import probe, read_video

        given, info = self.given, probe(path)
        frames = read_video(path, given.start, given.end, given.every, given.fps)
        rate = info.rate / given.every if info.rate else 25.0 / given.every
        until = min(given.end or info.duration, info.duration) - given.start
        total = max(round(until * info.rate / given.every), 1) if info.rate and info.duration else None
        if given.fps is not None:
            rate, total = min(rate, given.fps), None if total is None else min(total, max(round(until * given.fps), 1))
        self._follow(frames, str(path), path.name, rate, total, path if info.sound else None)

    def camera(self, source: str) -> None:
        """Answer for a camera until it ends, --end, or Ctrl-C."""
        from kinesics.vision.camera import read_camera

        given = self.given
        frames = read_camera(source, given.end, given.every, given.fps)
        self._follow(frames, f"webcam:{source}", f"webcam-{Path(source).stem}", given.fps or 25.0, None, None)

    def _follow(
        self, frames: Iterator[Frame], source: str, name: str, rate: float, total: int | None, sound: Path | None
    ) -> None:
        from kinesics.inference.timeline import Timeline

        stream = self.predictor.face_stream(self.given.faces, self.following)
        people: dict[int, _Person] = {}
        timeline = Timeline(self.predictor.classes)
        any_face = any_frame = False
        with ExitStack() as stack:
            film: Any = None
            if self.names is not None:
                from kinesics.vision.film import VideoWriter

                stack.callback(self._timeline, timeline, name, self.names(name, "_timeline.png"))
                file = self.names(name, ".mp4")
                film = stack.enter_context(VideoWriter(file, max(rate, 0.1), sound, self.given.start, keep=True))
            for frame, answers in stream(track(frames, name, total), source):
                mine = [self.withhold(answer) for answer in answers]
                self._take(mine)
                if not any_frame:
                    self.read, any_frame = self.read + 1, True
                timeline.add(mine)
                for answer in mine:
                    if not _empty(answer):
                        any_face = True
                        number = answer.track or 0  # type: ignore[attr-defined]
                        if number not in people:
                            people[number] = _Person(source, number)
                            self.people.append(people[number])
                        people[number].add(answer)  # type: ignore[arg-type]
                if film is not None:
                    from PIL import Image

                    from kinesics.inference.draw import draw_answers

                    film.add(Image.fromarray(draw_answers(frame.image, mine)), frame.time - self.given.start)
        if not any_face:
            self.empty.append(source)

    @staticmethod
    def _timeline(timeline: Any, title: str, file: Path) -> None:
        import io

        from kinesics.files import atomic_write

        buffer = io.BytesIO()
        timeline.draw(title).savefig(buffer, format="png", dpi=120)
        with atomic_write(file) as stream:
            stream.write(buffer.getvalue())

    def tell(self, kind: str) -> None:
        """Print the table for people, if that was asked for, and the summary."""
        if kind == "table":
            if self.shown:
                print_answers(self.shown)
            if self.people:
                _print_people(self.people)
        log.info(
            "%d faces in %d %s%s%s%s", self.faces, self.read, "files" if self.read != 1 else "file",
            f", none in {_few(self.empty)}" if self.empty else "",
            f"; not read: {_few(self.bad)}" if self.bad else "",
            f"; {self.rows.count} rows in {self.given.out}" if self.rows is not None and self.given.out else "",
        )  # fmt: skip


@dataclass
class _Person:
    """What a table for people says of one track."""

    source: str
    number: int
    frames: int = 0
    first: float = 0.0
    last: float = 0.0
    total: dict[str, float] = field(default_factory=dict)

    def add(self, answer: Emotion) -> None:
        """Count a frame."""
        time = answer.time or 0.0
        self.first = time if not self.frames else self.first
        self.frames, self.last = self.frames + 1, time
        for name, share in (answer.distribution or {}).items():
            self.total[name] = self.total.get(name, 0.0) + share


def _print_people(people: Sequence[_Person]) -> None:
    from kinesics.cli.tables import print_table

    rows = [
        [p.source, p.number, p.frames, p.first, p.last, _ranked({name: x / p.frames for name, x in p.total.items()})]
        for p in people[:_LISTED]
    ]
    print_table("people in videos", ["source", "track", "frames", "from s", "to s", "mean distribution"], rows)


def print_answers(found: Sequence[Prediction]) -> None:
    """Print a table for people: a row an answer."""
    from kinesics.cli.tables import print_table

    rows = []
    for prediction in found:
        answer = prediction.to_dict()
        shares = _ranked(answer.pop("distribution", {}))
        row = {"image": answer.pop("source")}
        if (box := answer.pop("box", None)) is not None:
            row["face"] = f"{round(box[0])},{round(box[1])} {round(box[2])}x{round(box[3])}"
        if _empty(prediction):
            answer = {"label": "(no face)"}
        row.update(answer)
        if shares:
            row["distribution"] = shares
        rows.append(row)
    fullest = max(rows, key=lambda row: len(row), default={})
    columns = list(dict.fromkeys([*fullest, *(key for row in rows for key in row)]))
    print_table("", columns, [[row.get(key, "") for key in columns] for row in rows])


def _ranked(distribution: dict[str, float]) -> str:
    ranked = sorted(distribution.items(), key=lambda item: -item[1])
    return "  ".join(f"{name} {share:.0%}" for name, share in ranked[:3])


def _empty(answer: Prediction) -> bool:
    return bool(getattr(answer, "empty", False))


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


class Names:
    """Names of drawings in a folder: the source's stem; files of the same stem get numbers.

    Args:
        folder: where they go.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._taken: set[str] = set()

    def __call__(self, source: str | Path, ending: str) -> Path:
        """folder/STEM.ending, folder/STEM-2.ending, ..."""
        stem, number = Path(source).stem, 1
        name = f"{stem}{ending}"
        while name in self._taken:
            number += 1
            name = f"{stem}-{number}{ending}"
        self._taken.add(name)
        return self.folder / name


def write_picture(picture: Image, file: Path) -> None:
    """Write a picture as PNG, whole or not at all."""
    import io

    from kinesics.files import atomic_write

    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    with atomic_write(file) as stream:
        stream.write(buffer.getvalue())
