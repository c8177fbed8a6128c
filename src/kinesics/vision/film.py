"""Writing videos: frames in, an MP4 or a GIF out, with the sound of the film that the frames were taken from."""

from __future__ import annotations

import importlib.util
import os
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from PIL import Image

from kinesics.errors import UserError

_CLOCK = 90_000
"""Ticks a second of the times of frames."""


def default_suffix() -> str:
    """.mp4 where PyAV is installed, else .gif."""
    return ".mp4" if importlib.util.find_spec("av") else ".gif"


class VideoWriter:
    """Frames in, a file out; a context manager. The file appears under its name when it is complete.

    Args:
        path: .mp4 (H.264, needs PyAV) or .gif.
        rate: frames per second, of frames that are added without a time.
        sound: a file whose sound goes along, as it is where MP4 can hold it, else as AAC; needs .mp4. A file without
            sound is as good as none.
        start: second of the sound's file at which the film begins.
        keep: whether the film is kept when it ends by an interrupt (Ctrl-C); after any other error there is none.

    Raises:
        UserError: another suffix, PyAV missing, or a folder that can't be written to.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        rate: float = 10,
        sound: str | os.PathLike[str] | None = None,
        start: float = 0.0,
        keep: bool = False,
    ) -> None:
        self.path, self.rate, self.keep = Path(path), rate, keep
        if self.path.suffix not in (".mp4", ".gif"):
            raise UserError(f"can't write {self.path.name}: expected a name that ends in .mp4 or .gif")
        if self.path.suffix == ".mp4" and not importlib.util.find_spec("av"):
            raise UserError("writing .mp4 needs PyAV, which is not installed", hint="pip install av, or write a .gif")
        self._partial = self.path.with_name(f".{self.path.stem}.part{self.path.suffix}")
        self._container: Any = None
        self._stream: Any = None
        self._sound = _Sound(sound, start) if sound is not None and self.path.suffix == ".mp4" else None
        self._frames: list[Image.Image] = []
        self._size, self._count, self._last = (0, 0), 0, -1
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._partial.touch()
        except OSError as error:
            raise UserError(f"can't write {self.path}: {error.strerror}", hint="choose another folder") from error

    def __enter__(self) -> VideoWriter:
        return self

    def add(self, frame: Image.Image, time: float | None = None) -> None:
        """Append a frame; those of another size than the first are fitted into it.

        Args:
            frame: the picture.
            time: seconds from the film's start, rising; None: at the film's rate.
        """
        if self.path.suffix == ".gif":
            half = frame.resize((frame.width // 2, frame.height // 2), Image.Resampling.BILINEAR)
            self._frames.append(half.quantize(96, dither=Image.Dither.NONE))
            return
        import av

        if self._container is None:
            self._open(frame)
        if frame.size != self._size:
            from PIL import ImageOps

            frame = ImageOps.pad(frame.convert("RGB"), self._size, Image.Resampling.BICUBIC)
        picture = np.asarray(frame.convert("RGB"))[: self._stream.height, : self._stream.width]
        shot = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        ticks = round((self._count / self.rate if time is None else time) * _CLOCK)
        shot.pts, shot.time_base = max(ticks, self._last + 1), Fraction(1, _CLOCK)
        self._last, self._count = shot.pts, self._count + 1
        for packet in self._stream.encode(shot):
            self._container.mux(packet)
        if self._sound is not None:
            self._sound.until(self._last / _CLOCK)

    def _open(self, first: Image.Image) -> None:
        import av

        self._container = av.open(str(self._partial), "w", options={"movflags": "faststart"})
        self._stream = self._container.add_stream("libx264", rate=Fraction(self.rate).limit_denominator(1001))
        self._size = first.size
        # H.264 with halved colour wants even sides
        self._stream.width, self._stream.height = max(first.width // 2 * 2, 2), max(first.height // 2 * 2, 2)
        self._stream.pix_fmt = "yuv420p"
        self._stream.options = {"crf": "21", "preset": "veryfast"}
        self._stream.codec_context.time_base = Fraction(1, _CLOCK)
        if self._sound is not None:
            self._sound.into(self._container)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        good = kind is None or (self.keep and issubclass(kind, KeyboardInterrupt))
        if self._container is not None:
            for packet in self._stream.encode():
                self._container.mux(packet)
            if self._sound is not None:
                self._sound.until(self._last / _CLOCK + 1 / self.rate)
                self._sound.close()
            self._container.close()
        elif self._frames and good:
            self._frames[0].save(
                self._partial, save_all=True, append_images=self._frames[1:], duration=round(1000 / self.rate), loop=0
            )
        if good and (self._container is not None or self._frames):
            os.replace(self._partial, self.path)
        else:
            self._partial.unlink(missing_ok=True)


class _Sound:
    """The sound of a file, handed on packet by packet up to the time that the film has come to."""

    def __init__(self, path: str | os.PathLike[str], start: float) -> None:
        import av

        self.start = start
        self._source: Any = None
        self._track: Any = None
        self._waiting: deque[Any] = deque()
        try:
            self._source = av.open(os.fspath(path), options={"protocol_whitelist": "file"})
        except (av.error.FFmpegError, ValueError, OSError):
            return  # an animation, say: no sound
        if not self._source.streams.audio:
            self.close()

    def into(self, container: Any) -> None:
        """Add a stream for the sound to the film that is being written."""
        if self._source is None:
            return
        source = self._source.streams.audio[0]
        self._out = container
        self._copies = source.codec_context.name in ("aac", "mp3", "ac3", "eac3", "alac", "opus")
        if self._copies:
            self._track = container.add_stream_from_template(source)
        else:
            self._track = container.add_stream("aac", rate=source.codec_context.sample_rate or 44_100)
        if self.start > 0:
            self._source.seek(int(self.start * 1_000_000))
        self._packets = self._copied(source) if self._copies else self._encoded(source)

    def until(self, time: float) -> None:
        """Write what sounds before `time`, seconds of the film."""
        if self._track is None:
            return
        while True:
            if not self._waiting:
                following = next(self._packets, None)
                if following is None:
                    return
                self._waiting.append(following)
            if self._waiting[0][0] > time:
                return
            self._out.mux(self._waiting.popleft()[1])

    def _copied(self, source: Any) -> Iterator[tuple[float, Any]]:
        shift = round(self.start / source.time_base)
        for packet in self._source.demux(source):
            if packet.dts is None or packet.pts is None:
                continue
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            if packet.pts < 0:
                continue
            time = float(packet.pts * source.time_base)
            packet.stream = self._track
            yield time, packet

    def _encoded(self, source: Any) -> Iterator[tuple[float, Any]]:
        import av

        resampler = av.AudioResampler(format="fltp", layout="stereo", rate=self._track.codec_context.sample_rate)
        for frame in self._source.decode(source):
            if frame.time is None or frame.time < self.start:
                continue
            time = frame.time - self.start
            frame.pts = None
            for part in resampler.resample(frame):
                for packet in self._track.encode(part):
                    yield time, packet
        for packet in self._track.encode():
            yield 0.0, packet

    def close(self) -> None:
        """Close the file."""
        if self._source is not None:
            self._source.close()
        self._source = None
