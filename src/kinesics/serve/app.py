"""The application: routes, and the way of a request through them."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException

from kinesics.serve import schema
from kinesics.serve.api_page import api_page
from kinesics.serve.documents import circumplex
from kinesics.serve.film import Stretch
from kinesics.serve.guard import Guard
from kinesics.serve.kinds import KNOWN
from kinesics.serve.limits import Limits
from kinesics.serve.metrics import TYPE, Metrics
from kinesics.serve.pages import ASSETS, asset
from kinesics.serve.recogniser import MakeDetector, Recogniser
from kinesics.serve.refusal import Refusal
from kinesics.serve.service import Service

ROUTES = ("/", "/predict", "/healthz", "/metrics", "/about", "/docs", "/openapi.json")

_STATUSES: dict[int, str] = {
    400: "No file, several files, a damaged form, or a strange Host.",
    403: "Posted by a page of another site.",
    408: "The upload was too slow.",
    413: "Too many bytes, pixels or seconds.",
    415: "Neither a picture nor a video that is read here.",
    422: "Damaged, without pictures, or a parameter out of range.",
    429: "Too many requests wait already; see Retry-After.",
    503: "Not done in time, or the service is stopping; see Retry-After.",
}
_BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {"file": {"type": "string", "format": "binary"}},
            }
        },
        **{kind: {"schema": {"type": "string", "format": "binary"}}
           for kind in ("application/octet-stream", "image/*", "video/*")},
    },
}  # fmt: skip


def make_app(
    recogniser: Recogniser,
    make_detector: MakeDetector,
    limits: Limits | None = None,
    *,
    model: str = "a model",
    hosts: Collection[str] | None = None,
    origins: Collection[str] = (),
    folder: Path | None = None,
) -> FastAPI:
    """The service of a model as an ASGI application.

    Args:
        recogniser: the model.
        make_detector: makes face detectors, see `recogniser.MakeDetector`.
        limits: bounds of requests.
        model: its name, for the page.
        hosts, origins: see `guard.Guard`.
        folder: in which temporary files lie, in a folder of their own that is removed at the end.

    Returns:
        The application; `app.state.service` has its parts while it runs.
    """
    limits, metrics, release = limits or Limits(), Metrics(), version("kinesics")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with tempfile.TemporaryDirectory(prefix="kinesics-serve-", dir=folder) as own:
            app.state.service = Service(recogniser, make_detector, limits, metrics, Path(own))
            try:
                await asyncio.to_thread(app.state.service.warm_up)
                yield
            finally:
                await app.state.service.close()

    app = FastAPI(
        title="kinesics", version=release, lifespan=lifespan, docs_url=None, redoc_url=None,
        summary="Expressions of the faces in a photograph or a video",
        description="Answers are what raters would call a picture of a face, not what somebody feels.",
    )  # fmt: skip
    app.add_middleware(
        Guard, metrics=metrics, routes={**dict(zip(ROUTES, ROUTES, strict=True)), **dict.fromkeys(ASSETS, "asset")},
        hosts=hosts, origins=origins,
    )  # fmt: skip
    _add_errors(app)
    _add_pages(app)

    @app.post(
        "/predict",
        summary="Faces of a photograph or a video",
        response_class=JSONResponse,
        responses={
            200: {
                "model": schema.PhotoRecord | schema.VideoRecord,
                "content": {"application/x-ndjson": {"schema": {"type": "string"}}},
                "description": "The answer. Of a video, with `Accept: application/x-ndjson`: its head, each frame as "
                "it is done, and its tail, one JSON object a line.",
            },
            **{status: {"model": schema.ErrorAnswer, "description": text} for status, text in _STATUSES.items()},
        },
        openapi_extra={"requestBody": _BODY},
    )
    async def predict(
        request: Request,
        every: Annotated[int, Query(ge=1, le=10_000, description="Videos: one frame of so many.")] = 1,
        fps: Annotated[
            float | None,
            Query(gt=0, le=240, allow_inf_nan=False, description="Videos: at most so many frames a second."),
        ] = None,
        start: Annotated[float, Query(ge=0, le=1e6, allow_inf_nan=False, description="Videos: seconds.")] = 0.0,
        end: Annotated[float | None, Query(gt=0, le=1e6, allow_inf_nan=False, description="Videos: seconds.")] = None,
        faces: Annotated[
            Literal["find", "fast", "whole"],
            Query(
                description="Pictures: search for faces; search fast, which misses faces below 80 pixels; or take the "
                "picture as one face, as one of up to 128 pixels always is. Videos: the first two are the same."
            ),
        ] = "find",
    ) -> Response:
        """Send one picture or video, as it is or as the field `file` of a form. A picture without a face is answered
        with an empty list. Animated GIF, WebP, PNG and AVIF are answered as videos."""
        service: Service = request.app.state.service
        return await service.predict(request, Stretch(start, end, every, fps), faces)

    @app.get("/healthz", summary="Whether the service works", responses={503: {"model": schema.HealthRecord}})
    async def healthz(request: Request) -> schema.HealthRecord:
        """For load balancers and containers."""
        if request.app.state.service.stopping:
            return JSONResponse({"status": "stopping", "version": release}, 503)  # type: ignore[return-value]
        return schema.HealthRecord(status="ok", version=release)

    @app.get("/metrics", summary="Numbers for Prometheus", response_class=Response)
    async def read_metrics() -> Response:
        """Requests by route and status, latencies, queue lengths, batch sizes, faces, memory."""
        return Response(metrics.text(), headers={"Content-Type": TYPE})

    @app.get("/about", summary="The model and the bounds")
    async def about() -> schema.AboutRecord:
        """What the page shows of the model."""
        places = circumplex(recogniser.classes)
        return schema.AboutRecord(
            model=model, version=release, classes=list(recogniser.classes), circumplex=places, limits=asdict(limits),
            reads=KNOWN,
        )  # fmt: skip

    return app


def _add_pages(app: FastAPI) -> None:
    """The page, its parts, and the description of the interface."""
    for path in ASSETS:

        async def read_asset(path: str = path) -> Response:
            return asset(path)

        app.add_api_route(path, read_asset, include_in_schema=False, methods=["GET", "HEAD"], name=path)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(api_page(app.openapi()))


def _add_errors(app: FastAPI) -> None:
    """One form for all errors."""

    @app.exception_handler(Refusal)
    async def refused(request: Request, refusal: Refusal) -> JSONResponse:
        return JSONResponse(refusal.to_dict(), refusal.status, refusal.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first: dict[str, Any] = dict(error.errors()[0])
        name, got = first["loc"][-1], str(first.get("input"))[:60]
        text = f"{name}: {first['msg'][0].lower()}{first['msg'][1:]}; got {got!r}"
        return JSONResponse(Refusal(422, "parameter", text).to_dict(), 422)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        code = {404: "not_found", 405: "method"}.get(error.status_code, "http")
        hint = "/docs lists what there is"
        refusal = Refusal(error.status_code, code, str(error.detail).lower(), hint)
        return JSONResponse(refusal.to_dict(), error.status_code, error.headers)

    @app.exception_handler(Exception)
    async def broken(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse(Refusal(500, "internal", "something went wrong here").to_dict(), 500)
