"""Bodies of requests to temporary files, never larger and never slower than allowed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO, Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from kinesics.serve.kinds import HEAD, suffix_of
from kinesics.serve.limits import Limits
from kinesics.serve.refusal import Refusal

_AROUND = 64 * 1024
"""Bytes that a multipart body may have around its file."""


class Upload:
    """One upload on disk; its name is ours, its ending says what the first bytes are. A context: the file is deleted at
    the end of it.

    Args:
        folder: for the file.
    """

    def __init__(self, folder: Path) -> None:
        handle, name = tempfile.mkstemp(dir=folder, prefix="upload-")
        self.path = Path(name)
        self.size = 0
        self.suffix = ""
        self._head = b""
        self._file: IO[bytes] = os.fdopen(handle, "wb")

    def __enter__(self) -> Upload:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)

    def write(self, data: bytes) -> None:
        """Append bytes."""
        if len(self._head) < HEAD:
            self._head += data[: HEAD - len(self._head)]
        self.size += len(data)
        self._file.write(data)

    def finish(self) -> None:
        """Close the file and give it the ending of what it is.

        Raises:
            Refusal: 400 or 415, see `kinds.suffix_of`.
        """
        self._file.close()
        self.suffix = suffix_of(self._head)
        self.path = self.path.rename(self.path.with_name(self.path.name + self.suffix))


async def receive(request: Request, folder: Path, limits: Limits) -> Upload:
    """Spool the body of a request: one file, raw or as the only file of multipart/form-data.

    Args:
        request: whose body was not touched yet.
        folder: for the temporary file.
        limits: of size and time.

    Returns:
        The upload, to be used as a context.

    Raises:
        Refusal: 400 no or several files, or a damaged form; 408 too slow; 413 too large; 415 another content type.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    _check_head(request, kind, limits)
    upload = Upload(folder)
    try:
        form = _Form(upload, options.get(b"boundary", b"")) if kind == b"multipart/form-data" else None
        most, received = limits.bytes + (_AROUND if form else 0), 0
        async for chunk in _timed(request, limits):
            received += len(chunk)
            if received > most or upload.size > limits.bytes:
                raise _too_large(limits)
            (form.feed if form else upload.write)(chunk)
        if form:
            form.finish()
        if upload.size > limits.bytes:
            raise _too_large(limits)
        upload.finish()
    except OSError as error:
        upload.__exit__()
        raise Refusal(503, "no_space", "the upload could not be stored", retry_after=30) from error
    except BaseException:
        upload.__exit__()
        raise
    return upload


def _check_head(request: Request, kind: bytes, limits: Limits) -> None:
    media = kind.partition(b"/")[0]
    if kind and media not in (b"image", b"video") and kind not in (b"multipart/form-data", b"application/octet-stream"):
        raise Refusal(
            415, "content_type", f"the content type {kind.decode('latin-1')[:60]!r} is not read here",
            "send image/*, video/*, application/octet-stream or multipart/form-data with one file",
        )  # fmt: skip
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limits.bytes + (_AROUND if media == b"multipart" else 0):
        raise _too_large(limits)


def _too_large(limits: Limits) -> Refusal:
    return Refusal(413, "too_large", f"the upload exceeds {limits.megabytes:g} MiB", "send a smaller or a shorter file")


async def _timed(request: Request, limits: Limits) -> AsyncIterator[bytes]:
    """The body in chunks; a pause or a whole that lasts too long is refused."""
    until = time.monotonic() + limits.upload_seconds
    stream = request.stream()
    while True:
        left = min(limits.idle_seconds, until - time.monotonic())
        try:
            yield await asyncio.wait_for(anext(stream), max(left, 0.001))
        except StopAsyncIteration:
            return
        except (TimeoutError, asyncio.TimeoutError):
            raise Refusal(
                408, "too_slow",
                f"the upload stood still for {limits.idle_seconds:g} s or took longer than {limits.upload_seconds:g} s",
            ) from None  # fmt: skip


class _Form:
    """Picks the one file out of multipart/form-data; other fields are passed over."""

    def __init__(self, upload: Upload, boundary: bytes) -> None:
        self._upload, self._files, self._taking, self._complete = upload, 0, False, False
        self._name, self._value, self._disposition = b"", b"", b""
        if not boundary:
            raise Refusal(400, "form", "multipart/form-data without a boundary")
        callbacks: Any = {
            "on_part_begin": self._begin, "on_header_field": self._field, "on_header_value": self._content,
            "on_header_end": self._header, "on_headers_finished": self._headers, "on_part_data": self._data,
            "on_end": self._end,
        }  # fmt: skip
        with self._errors():
            self._parser = MultipartParser(boundary, callbacks)

    def feed(self, data: bytes) -> None:
        """Parse a chunk."""
        with self._errors():
            self._parser.write(data)

    def finish(self) -> None:
        """Check that the form is complete and had one file."""
        with self._errors():
            self._parser.finalize()
        if not self._complete:
            raise Refusal(400, "form", "the form ends before its last boundary")
        if self._files != 1:
            raise Refusal(400, "form", f"the form has {self._files} files, expected 1", 'send it as the field "file"')

    @contextlib.contextmanager
    def _errors(self) -> Any:
        try:
            yield
        except (FormParserError, ValueError) as error:
            raise Refusal(400, "form", "the multipart form is damaged") from error

    def _begin(self) -> None:
        self._name, self._value, self._disposition, self._taking = b"", b"", b"", False

    def _field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _content(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = self._value
        self._name, self._value = b"", b""

    def _headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"filename" in options or options.get(b"name") == b"file":
            self._files += 1
            self._taking = self._files == 1

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._taking:
            self._upload.write(data[start:end])

    def _end(self) -> None:
        self._complete = True
