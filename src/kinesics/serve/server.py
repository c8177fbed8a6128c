"""Running the application on an address."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence

import uvicorn
from fastapi import FastAPI

from kinesics.errors import UserError
from kinesics.progress import log
from kinesics.serve.guard import LOOPBACK


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address; of names, only localhost is believed."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def allowed_hosts(host: str, more: Sequence[str] = ()) -> set[str] | None:
    """Names under which a service on `host` may be called; None: any."""
    if not is_loopback(host):
        return set(more) or None
    return {*LOOPBACK, host, *more}


def run(app: FastAPI, host: str, port: int) -> None:
    """Serve until SIGINT or SIGTERM, then let what runs end (10 s at most).

    Args:
        app: the application.
        host: address or name to listen on.
        port: 0 takes a free one.

    Raises:
        UserError: the address can't be listened on.
    """
    try:
        kind, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(kind, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(512)
    except OSError as error:
        raise UserError(
            f"can't listen on {host}:{port}: {error.strerror or error}", hint="--port 0 takes a free one"
        ) from error
    with listener:
        if not is_loopback(host):
            log.warning(
                "warning: listening on %s, others can reach it: there is no encryption and no login, so put a proxy "
                "that has both in front", host,
            )  # fmt: skip
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, timeout_keep_alive=5,
            timeout_graceful_shutdown=10, limit_concurrency=1000, ws="none", lifespan="on",
        )  # fmt: skip
        shown = f"[{host}]" if ":" in host else host
        _Server(config, f"http://{shown}:{listener.getsockname()[1]}").run(sockets=[listener])


class _Server(uvicorn.Server):
    """Says where it is as soon as it answers."""

    def __init__(self, config: uvicorn.Config, address: str) -> None:
        super().__init__(config)
        self._address = address

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            log.info("%s  (Ctrl-C stops)", self._address)
