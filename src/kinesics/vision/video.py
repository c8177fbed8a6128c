"""Reading videos frame by frame with PyAV, so that memory does not grow with their length."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kinesics.errors import UserError
from kinesics.vision.media import MAX_PIXELS, UnreadableImage, frame_count, read_animation

SUFFIXES = (
    ".mp4",
    ".m4v",
    ".mov",
    ".mkv",
    ".webm",
    ".avi",
    ".mpg",
    ".mpeg",
    ".ts",
    ".mts",
    ".3gp",
    ".wmv",
    ".flv",
    ".ogv",
)
"""Names that are taken for videos in a folder."""

_CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "mpeg", "mpegts", "mpegvideo", "asf", "flv", "ogg", "mjpeg",
    "h264", "hevc", "m4v", "obu", "ivf",
)  # fmt: skip
_SAFE = {"protocol_whitelist": "file", "format_whitelist": ",".join(_CONTAINERS)}
"""Playlists and the like, which make FFmpeg open other files or addresses, are not among them."""


@dataclass(frozen=True)
class Frame:
    """One picture of a video."""

    image: np.ndarray
    """(H, W, 3) uint8 RGB, upright; the size may change within a video."""
    index: int
    """Number in the video, from 0; after a start in the middle, time x rate."""
    time: float
    """Seconds from the video's start."""


@dataclass(frozen=True)
class VideoInfo:
    """What a file's header says; numbers are 0 where it says nothing."""

    width: int
    height: int
    rate: float
    """Frames a second, on average."""
    frames: int
    """As far as known, else duration x rate."""
    duration: float
    """Seconds."""
    sound: bool
    """Whether there is a sound track."""


def probe(path: str | os.PathLike[str]) -> VideoInfo:
    """What is in a video file or an animation.

    Raises:
        UserError: it can't be opened or has no pictures.
    """
    if animated(path):
        frames = frame_count(path)
        return VideoInfo(0, 0, 0.0, frames, 0.0, False)
    with _opened(path) as container:
        stream = _pictures(container, path)
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        duration = float(container.duration or 0) / 1e6
        frames = int(stream.frames or round(duration * rate))
        return VideoInfo(stream.width, stream.height, rate, frames, duration, bool(container.streams.audio))


def animated(path: str | os.PathLike[str]) -> bool:
    """Whether a file is an animated GIF, WebP, PNG or AVIF: a picture with frames."""
    if Path(path).suffix.lower() not in (".gif", ".webp", ".png", ".apng", ".avif"):
        return False
    try:
        return frame_count(path) > 1
    except UnreadableImage:
        return False


def is_video(path: str | os.PathLike[str]) -> bool:
    """Whether a file is to be read as a video: by its name, or because it is an animation."""
    return Path(path).suffix.lower() in SUFFIXES or animated(path)


def read_video(
    path: str | os.PathLike[str], start: float = 0.0, end: float | None = None, every: int = 1, fps: float | None = None
) -> Iterator[Frame]:
    """Frames of a video, one at a time.

    Frames are turned as the file's metadata says. Damaged ones are passed over as far as the decoder can.

    Args:
        path: a video file that FFmpeg reads, or an animated GIF, WebP, PNG or AVIF.
        start: seconds from the beginning; earlier frames are left out.
        end: seconds from the beginning; None reads all.
        every: take one frame of so many.
        fps: take at most so many frames a second, the first of each interval; None takes all.

    Raises:
        UserError: a value out of range at once; a file that can't be opened, has no pictures, or from which not one
            frame can be read, when the first is asked for.
    """
    fit = every >= 1 and (fps is None or fps > 0) and 0 <= start < math.inf and (end is None or end > start)
    if not fit:
        raise UserError(
            f"got start {start}, end {end}, every {every} and fps {fps}; expected 0 <= start < end, 1 <= every, 0 < fps"
        )
    return _chosen(path, start, end, every, fps)


def _chosen(
    path: str | os.PathLike[str], start: float, end: float | None, every: int, fps: float | None
) -> Iterator[Frame]:
    source: Any = _animation(path) if animated(path) else _decoded(path, start)
    seen = taken = 0
    try:
        for index, time, image in source:
            if end is not None and time >= end:
                return
            if time < start - 1e-9:
                continue
            seen += 1
            if (seen - 1) % every:
                continue
            if fps is not None:
                if (time - start) * fps < taken - 1e-6:
                    continue
                taken = int((time - start) * fps + 1e-6) + 1
            yield Frame(image(), index, time)
    finally:
        source.close()
    if not seen:
        reach = f" from second {start:g} on" if start else ""
        raise UserError(f"{os.fspath(path)}: no frame can be read{reach}", hint="is it a video, and that long?")


def _animation(path: str | os.PathLike[str]) -> Iterator[tuple[int, float, Any]]:
    for index, (time, image) in enumerate(read_animation(path)):
        yield index, time, lambda image=image: image


def _decoded(path: str | os.PathLike[str], start: float) -> Iterator[tuple[int, float, Any]]:
    """Number, time and a function that gives the pixels, of every frame from shortly before `start` on."""
    import av

    with _opened(path) as container:
        stream = _pictures(container, path)
        stream.thread_type = "AUTO"
        base, rate = stream.time_base, float(stream.average_rate or stream.guessed_rate or 25)
        first = float(stream.start_time * base) if stream.start_time is not None and base else 0.0
        jumped = start > 2.0
        if jumped:
            try:
                container.seek(int((start + first) / base), stream=stream)
            except av.error.FFmpegError:
                jumped = False
        for count, frame in enumerate(_frames(container, stream)):
            known = frame.pts is not None and base
            time = float(frame.pts * base) - first if known else count / rate
            if frame.width * frame.height > MAX_PIXELS:
                raise UserError(f"{os.fspath(path)}: frames have {frame.width} x {frame.height} pixels, too many")
            yield round(time * rate) if jumped else count, max(time, 0.0), lambda frame=frame: _upright(frame)


def _frames(container: Any, stream: Any) -> Iterator[Any]:
    """Decoded frames; packets that can't be decoded are passed over."""
    import av

    try:
        for packet in container.demux(stream):
            try:
                yield from packet.decode()
            except av.error.FFmpegError:
                continue
    except av.error.FFmpegError:
        return  # the rest of the file is damaged


def _upright(frame: Any) -> np.ndarray:
    """(H, W, 3) uint8, turned by the display matrix's angle, counter-clockwise."""
    image: np.ndarray = frame.to_ndarray(format="rgb24")
    turns = round(getattr(frame, "rotation", 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


def _opened(path: str | os.PathLike[str]) -> Any:
    try:
        import av
    except ImportError:
        raise UserError("reading videos needs PyAV", hint="pip install 'kinesics[vision]'") from None
    file = Path(path)
    if not file.is_file():
        raise UserError(f"{file}: there is no such file")
    if not file.stat().st_size:
        raise UserError(f"{file}: is empty (0 bytes)")
    try:
        return av.open(str(file.resolve()), options=dict(_SAFE))
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise UserError(f"{file}: is not a video of a known format ({_said(error)})") from error


def _said(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).split(":")[0][:100].lower()


def _pictures(container: Any, path: str | os.PathLike[str]) -> Any:
    # a cover picture of a sound file is a stream, too
    streams = [one for one in container.streams.video if not int(one.disposition) & _ATTACHED]
    if not streams:
        raise UserError(f"{os.fspath(path)}: has no pictures, only {len(container.streams)} other streams")
    return streams[0]


_ATTACHED = 0x0400
"""FFmpeg's AV_DISPOSITION_ATTACHED_PIC."""
