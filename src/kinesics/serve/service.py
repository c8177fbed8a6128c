"""The way of one upload: a place in the queue, the disk, a thread, a batch, the answer."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from kinesics.progress import log
from kinesics.serve.batching import Batcher
from kinesics.serve.film import FilmReader, Stretch, moves
from kinesics.serve.kinds import is_film
from kinesics.serve.lane import Lane, Place
from kinesics.serve.limits import Limits
from kinesics.serve.metrics import Metrics
from kinesics.serve.photo import PhotoReader, photo_document
from kinesics.serve.recogniser import MakeDetector, Recogniser
from kinesics.serve.refusal import Refusal
from kinesics.serve.upload import Upload, receive

T = TypeVar("T")
NDJSON = "application/x-ndjson"
GONE = 499
"""Status of requests whose client went away, seen in the metrics only."""


class Service:
    """All parts of a running service; belongs to one event loop.

    Args:
        recogniser: the model.
        make: makes face detectors.
        limits: of requests.
        metrics: told of all that happens.
        folder: for temporary files.
    """

    def __init__(
        self, recogniser: Recogniser, make: MakeDetector, limits: Limits, metrics: Metrics, folder: Path
    ) -> None:
        self.limits, self.metrics, self.folder = limits, metrics, folder
        self.batcher = Batcher(recogniser.answer, limits.batch, limits.batch_seconds, metrics.batches.observe)
        self.photos = Lane("photo", limits.workers, limits.queue, 0.7 * limits.photo_seconds)
        self.films = Lane("video", limits.film_workers, limits.film_queue, 0.7 * limits.work_seconds)
        self.photo_reader = PhotoReader(recogniser, make, limits)
        self.film_reader = FilmReader(recogniser, self.batcher, make, limits)
        self.stopping = False
        self.inside = 0
        self._stops: set[threading.Event] = set()
        for lane in (self.photos, self.films):
            metrics.watch(lane.name, partial(getattr, lane, "waiting"), partial(getattr, lane, "inside"))

    def warm_up(self) -> None:
        """Load what is loaded on first use, so that the first request is not slow."""
        self.photos.in_every_thread(self.photo_reader.warm_up)
        self.batcher(np.stack(self.photo_reader.recogniser.faces_of(np.zeros((32, 32, 3), np.uint8), "whole")[0]))

    async def close(self) -> None:
        """Stop videos at their next frame, let photographs end, end the threads."""
        self.stopping = True
        for stop in self._stops:
            stop.set()
        for part in (self.photos, self.films, self.batcher):
            await asyncio.to_thread(part.close)

    async def predict(self, request: Request, stretch: Stretch, faces: str) -> Response:
        """Answer one upload.

        Raises:
            Refusal: for every reason that there is.
        """
        if self.stopping:
            raise Refusal(503, "stopping", "the service is stopping", retry_after=30)
        if self.inside >= self.photos.places + self.films.places:
            raise Refusal(
                429, "busy", f"{self.inside} requests wait already", "try again later", self.photos.retry_after
            )
        self.inside += 1
        keep = False
        upload: Upload | None = None
        try:
            upload = await receive(request, self.folder, self.limits)
            self.metrics.received.inc(upload.size)
            film = is_film(upload.suffix) or await asyncio.to_thread(moves, upload.path, self.limits)
            if not film:
                return await self._photo(request, upload, faces)
            parts = _Parts(self, request, upload, stretch, faces)
            head = await parts.begin()
            if NDJSON in request.headers.get("accept", ""):
                keep = True
                return StreamingResponse(parts.lines(head, self._leave), media_type=NDJSON)
            document = await parts.whole(head)
            return Response(await asyncio.to_thread(_dump, document), media_type="application/json")
        except ClientDisconnect:
            return Response(status_code=GONE)
        finally:
            if not keep:
                self._leave(upload)

    def _leave(self, upload: Upload | None) -> None:
        self.inside -= 1
        if upload is not None:
            upload.__exit__()

    async def _photo(self, request: Request, upload: Upload, faces: str) -> Response:
        place = self.photos.take()
        loop = asyncio.get_running_loop()
        until = loop.time() + self.limits.photo_seconds
        try:
            search = place.start(partial(self.photo_reader.search, upload.path, faces))
            searched = await _within(search, until - loop.time(), request)
            began = loop.time()
            answers = []
            if searched.crops:
                answers = await _within(self.batcher.submit(searched.crops), until - loop.time(), request)
            searched.seconds["recognise"] = loop.time() - began
            self.metrics.faces.labels("photo").inc(len(answers))
            return Response(_dump(photo_document(searched, answers)), media_type="application/json")
        finally:
            place.done()

    def begin_film(
        self, place: Place, upload: Upload, stretch: Stretch, faces: str, emit: Callable[[Any], None]
    ) -> tuple[Future[None], threading.Event]:
        """Start a video; its parts go to `emit`, at last None or the exception that ended it."""
        stopped = threading.Event()

        def work() -> None:
            try:
                for part in self.film_reader.read(upload.path, stretch, stopped, faces):
                    if "frame" in part:
                        self.metrics.frames.inc()
                        self.metrics.faces.labels("video").inc(len(part["faces"]))
                    emit(part)
                    if stopped.is_set():
                        break
                emit(None)
            except BaseException as error:
                emit(error)
                raise

        self._stops.add(stopped)
        future = place.start(work)
        future.add_done_callback(lambda _: self._stops.discard(stopped))
        return future, stopped


class _Parts:
    """The parts of one video's answer, as they come out of its thread."""

    def __init__(self, service: Service, request: Request, upload: Upload, stretch: Stretch, faces: str) -> None:
        self.service, self.request, self.upload = service, request, upload
        self._place = service.films.take()
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[Any] = asyncio.Queue()
        self._until = self._loop.time() + 2 * service.limits.work_seconds
        self._work, self._stopped = service.begin_film(self._place, upload, stretch, faces, self._emit)

    def _emit(self, part: Any) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._queue.put_nowait, part)

    async def begin(self) -> dict[str, Any]:
        """The head: after that the status is known."""
        try:
            head: dict[str, Any] = await self._next()
            return head
        except BaseException:
            self._end()
            raise

    async def whole(self, head: dict[str, Any]) -> dict[str, Any]:
        """The answer as one document."""
        try:
            frames: list[dict[str, Any]] = []
            while "tracks" not in (part := await self._next()):
                frames.append(part)
            return {**head, "frames": frames, **part}
        finally:
            self._end()

    async def lines(self, head: dict[str, Any], leave: Callable[[Upload], None]) -> AsyncIterator[bytes]:
        """The answer as lines of JSON; an error that comes late is the last line."""
        try:
            yield _dump(head) + b"\n"
            while True:
                part = await self._next()
                yield _dump(part) + b"\n"
                if "tracks" in part:
                    return
        except Refusal as refusal:
            yield _dump(refusal.to_dict()) + b"\n"
        except ClientDisconnect:
            return
        finally:
            self._end()
            leave(self.upload)

    async def _next(self) -> Any:
        waiting = asyncio.ensure_future(self._queue.get())
        part = await _first(waiting, self._until - self._loop.time(), self.request)
        if isinstance(part, Refusal):
            raise part
        if isinstance(part, BaseException):
            log.error("a video failed: %s: %s", type(part).__name__, part)
            raise Refusal(422, "damaged", "the video could not be worked on")
        if part is None:  # stopped before its end
            raise Refusal(503, "stopping", "the service is stopping", retry_after=30)
        return part

    def _end(self) -> None:
        self._stopped.set()
        self._work.cancel()
        self._place.done()


async def _within(work: Future[T], seconds: float, request: Request) -> T:
    return await _first(asyncio.wrap_future(work), seconds, request)


async def _first(work: asyncio.Future[T], seconds: float, request: Request) -> T:
    """The result of `work`, if it comes before the client goes away and within the time.

    Raises:
        Refusal: 503 when the time is over.
        ClientDisconnect: the client went away.
    """
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((work, gone), timeout=max(seconds, 0.0), return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        if gone.done():
            raise ClientDisconnect
        raise Refusal(503, "timeout", "there was no answer in time", "try again later or send less", 30)
    finally:
        gone.cancel()
        work.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _dump(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
