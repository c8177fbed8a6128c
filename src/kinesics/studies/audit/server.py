"""The review on this machine: the page of the audit, each decision saved at once.

It listens on 127.0.0.1 alone. Every address begins with a random token, and the Host header must be this server's own,
so that no other page in the browser can reach it. Nothing that a client sends names a file: it says which sample of
the page it means by its number, and its path only as a check.
"""

from __future__ import annotations

import hmac
import json
import secrets
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from kinesics.data.manifest import read as read_manifest
from kinesics.errors import UserError
from kinesics.studies.audit.decisions import (
    KINDS,
    Decision,
    change_decision,
    decisions_text,
    known_labels,
    now,
    read_decisions,
)
from kinesics.studies.audit.gallery import AS_FILE, SERVED, page_content
from kinesics.studies.audit.review import refuse_shared

LARGEST_REQUEST = 16_384
"""Bytes of a decision; more is refused unread."""

IDLE_S = 30.0
"""Seconds that a connection may stay silent."""


@dataclass
class Review:
    """The page and the file of decisions behind it.

    The file is read anew each time: another review or an editor may have changed it.

    Args:
        page: of the gallery, as served.
        paths: of its samples, in the order of the page.
        classes: labels that the page offers.
        known: labels that the file may hold: those of the page, of the manifest, and words for emotions.
        file: decisions.csv; decisions on other samples in it are kept.
    """

    page: bytes
    paths: list[str]
    classes: tuple[str, ...]
    known: tuple[str, ...]
    file: Path

    @classmethod
    def open(cls, gallery: Path, file: Path, manifest: str) -> Review:
        """Read the page that was written, and the decisions that there are already.

        Raises:
            UserError: the page or the decisions can't be read, or the page has images that stand in several rows.
        """
        try:
            text = gallery.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise UserError(f"{gallery} can't be read: {error}", hint="run kinesics audit again") from error
        content = page_content(text)
        for before, after in zip(AS_FILE, SERVED, strict=True):
            text = text.replace(before, after, 1)
        paths, classes = [item["path"] for item in content["items"]], tuple(content["classes"])
        rows = read_manifest(manifest)
        refuse_shared(rows, paths)
        review = cls(text.encode(), paths, classes, known_labels(rows.classes, classes), file)
        review.decisions()
        return review

    def decisions(self) -> dict[str, Decision]:
        """What the file holds now.

        Raises:
            UserError: it can't be read.
        """
        return read_decisions(self.file, self.known) if self.file.exists() else {}

    def decide(self, message: Any) -> None:
        """Take one decision into the file as it stands now.

        Args:
            message: {"position": int, "path": str, "decision": one of KINDS or "none", "label": str}.

        Raises:
            ValueError: it is anything else.
            UserError: the file can't be read or written.
        """
        if not isinstance(message, dict):
            raise ValueError("expected an object")
        position, kind, label = message.get("position"), message.get("decision"), message.get("label", "")
        if type(position) is not int or not 0 <= position < len(self.paths):
            raise ValueError("no such sample")
        path = self.paths[position]
        if message.get("path") != path:
            raise ValueError("the page is of another audit: load it again")
        if kind not in (*KINDS, "none"):
            raise ValueError("no such decision")
        if kind == "relabel" and label not in self.classes:
            raise ValueError("no such label")
        decision = None if kind == "none" else Decision(path, kind, label if kind == "relabel" else "", now())
        change_decision(self.file, self.known, path, decision)


def make_server(review: Review, port: int = 0, token: str | None = None) -> tuple[ThreadingHTTPServer, str]:
    """A server that is not running yet, and the address of its page.

    Args:
        review: what is served.
        port: 0 takes a free one.
        token: random by default.

    Raises:
        UserError: the port is taken.
    """
    secret = token or secrets.token_urlsafe(24)
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), _handler(review, secret))
    except OSError as error:
        raise UserError(f"--port {port} can't be used: {error.strerror}", hint="leave it out for a free one") from error
    server.daemon_threads = True
    return server, f"http://127.0.0.1:{server.server_port}/{secret}/"


def serve(out: Path, file: Path, manifest: str, port: int) -> None:
    """Serve an audit's page until Ctrl-C.

    Args:
        out: folder of gallery.html.
        file: decisions.csv.
        manifest: of the audit.
        port: 0 takes a free one.
    """
    server, address = make_server(Review.open(out / "gallery.html", file, manifest), port)
    print(f"{address}\ndecisions go to {file}; Ctrl-C ends the review", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print(f"\nthe review is in {file}")
    finally:
        server.server_close()


def _handler(review: Review, token: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        server_version, sys_version = "kinesics", ""
        timeout = IDLE_S

        def do_GET(self) -> None:
            name = self.asked()
            if name == "":
                self.answer(200, review.page, "text/html; charset=utf-8")
            elif name == "decisions.csv":
                try:
                    text = decisions_text(review.decisions().values())
                except (UserError, OSError) as error:
                    self.answer(500, str(error).encode("utf-8", "replace"))
                else:
                    self.answer(200, text.encode("utf-8", "replace"), "text/csv; charset=utf-8")
            else:
                self.answer(404, b"there is nothing here")

        def do_POST(self) -> None:
            if self.asked() != "decision":
                self.answer(404, b"there is nothing here")
                return
            length = self.headers.get("Content-Length", "")
            if not length.isdecimal() or int(length) > LARGEST_REQUEST:
                self.answer(413, b"too large")
                return
            if self.headers.get("Content-Type", "").split(";")[0].strip() != "application/json":
                self.answer(415, b"expected application/json")
                return
            try:
                review.decide(json.loads(self.rfile.read(int(length))))
            except (ValueError, RecursionError) as error:
                self.answer(400, str(error).encode("utf-8", "replace"))
            except (UserError, OSError) as error:
                self.answer(500, str(error).encode("utf-8", "replace"))
            else:
                self.answer(200, b"saved")

        def asked(self) -> str | None:
            """What stands behind the token; None where the token or the Host is not this server's."""
            port = self.connection.getsockname()[1]
            if self.headers.get("Host") not in (f"127.0.0.1:{port}", f"localhost:{port}"):
                return None
            given, slash, name = self.path.removeprefix("/").partition("/")
            return name if slash and hmac.compare_digest(given.encode(), token.encode()) else None

        def answer(self, status: int, content: bytes, kind: str = "text/plain; charset=utf-8") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("Referrer-Policy", "no-referrer")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.send_header("X-Frame-Options", "DENY")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: the token is no one's business."""

    return Handler
