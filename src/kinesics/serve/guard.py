"""What every request passes first: whose page it comes from, headers of the answer, counting, an orderly end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kinesics.serve.metrics import Metrics
from kinesics.serve.refusal import Refusal

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src blob:; "
    "connect-src 'self'; manifest-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page loads nothing from elsewhere, runs no script that is written into it, and can't be framed."""

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
}
LOOPBACK = ("localhost", "127.0.0.1", "::1")

_LINGER_SECONDS, _LINGER_BYTES = 1.0, 8 * 2**20
_TAKING_SECONDS = 30.0


class Guard:
    """ASGI middleware around the whole application.

    Args:
        app: what it guards.
        metrics: told of every request.
        routes: paths that are counted by name; all others are counted together.
        hosts: names under which the service may be called; None: any. A page of another site can't reach a service on
            the loopback address by giving its own name that address (DNS rebinding) then.
        origins: further origins whose pages may post, beside the service's own.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        routes: Mapping[str, str],
        hosts: Collection[str] | None = None,
        origins: Collection[str] = (),
    ) -> None:
        self.app, self.metrics, self.routes, self.hosts, self.origins = app, metrics, routes, hosts, set(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        visit = _Visit(receive, send)
        began = time.perf_counter()
        try:
            refusal = self._refusal(scope)
            if refusal is None:
                await self.app(scope, visit.receive, visit.send)
            else:
                await JSONResponse(refusal.to_dict(), refusal.status)(scope, visit.receive, visit.send)
        except ClientDisconnect:
            pass  # nobody is there to be told
        finally:
            route = self.routes.get(scope["path"], "other")
            self.metrics.requests.labels(route, str(visit.status)).inc()
            self.metrics.latency.labels(route).observe(time.perf_counter() - began)

    def _refusal(self, scope: Scope) -> Refusal | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            name = ""
        if self.hosts is not None and name not in self.hosts:
            return Refusal(400, "host", "this service is not called by that name", "use http://127.0.0.1 or localhost")
        origin = headers.get("origin")
        foreign = origin is not None and urlsplit_netloc(origin) != host and origin not in self.origins
        if scope["method"] not in ("GET", "HEAD") and foreign:
            return Refusal(403, "origin", "pages of other sites may not post here", "--origin allows one")
        return None


def urlsplit_netloc(origin: str) -> str:
    """Host and port of an origin; nothing where it is none."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


class _Visit:
    """One request and its answer."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self._read = False
        self.status = 0
        """Of the answer; 0 where the client went away before it."""

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self._read = True
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", "no-store")
        elif message["type"] == "http.response.body" and not message.get("more_body", False) and not self._read:
            await self._send({**message, "more_body": True})
            await self._linger()
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        try:
            await asyncio.wait_for(self._send(message), _TAKING_SECONDS)
        except (TimeoutError, asyncio.TimeoutError):
            # one that doesn't read what it asked for would hold its place for ever
            raise ClientDisconnect from None

    async def _linger(self) -> None:
        """Read on for a moment after an early answer: a connection that is closed on unread bytes is reset, and the
        client may lose the answer."""
        until, seen = time.monotonic() + _LINGER_SECONDS, 0
        while not self._read and seen < _LINGER_BYTES and (left := until - time.monotonic()) > 0:
            try:
                message = await asyncio.wait_for(self.receive(), left)
            except (TimeoutError, asyncio.TimeoutError):
                return
            seen += len(message.get("body", b""))
