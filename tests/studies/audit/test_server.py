"""The review's server: what it answers, what it saves, and what it refuses."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kinesics.errors import UserError
from kinesics.studies.audit.decisions import Decision, read_decisions, write_decisions
from kinesics.studies.audit.gallery import write_gallery
from kinesics.studies.audit.server import LARGEST_REQUEST, Review, make_server
from kinesics.studies.audit.study import Audit


@dataclass
class Served:
    """A running server.

    Args:
        port, token: of its address.
        file: decisions.csv.
        paths, classes: of the page.
    """

    port: int
    token: str
    file: Path
    paths: list[str]
    classes: tuple[str, ...]

    def ask(self, method: str, name: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        """Status and content of one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request(method, name, body, {key.replace("_", "-"): value for key, value in headers.items()})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, content

    def decide(self, **message: object) -> tuple[int, bytes]:
        """One decision."""
        body = json.dumps(message).encode()
        return self.ask("POST", f"/{self.token}/decision", body, Content_Type="application/json")


@pytest.fixture
def served(found: Audit, tmp_path: Path) -> Iterator[Served]:
    """The audit's page of six samples beside a manifest, with one decision on another sample."""
    manifest = tmp_path / "manifest.csv"
    classes = found.evidence.classes
    manifest.write_text("path,label\n" + "".join(f"{k}.png,{name}\n" for k, name in enumerate(classes)))
    file = tmp_path / "decisions.csv"
    write_decisions(file, [Decision("elsewhere.png", "drop", "", "before")])
    write_gallery(found, tmp_path / "gallery.html", "run", "manifest.csv", 6)
    review = Review.open(tmp_path / "gallery.html", file, str(manifest))
    server, address = make_server(review)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield Served(server.server_port, address.rstrip("/").rsplit("/", 1)[1], file, review.paths, classes)
    server.shutdown()
    server.server_close()
    thread.join(5)


def test_it_listens_on_this_machine_alone_under_a_token_of_its_own(found: Audit, tmp_path: Path) -> None:
    review = Review(b"", [], (), (), tmp_path / "d.csv")
    tokens = set()
    for _ in range(2):
        server, address = make_server(review)
        assert server.server_address[0] == "127.0.0.1"
        tokens.add(address.rsplit("/", 2)[1])
        server.server_close()
    assert len(tokens) == 2 and min(map(len, tokens)) >= 32


def test_the_page_and_the_decisions(served: Served) -> None:
    status, page = served.ask("GET", f"/{served.token}/")
    assert status == 200
    assert b'data-server="yes"' in page and b"connect-src 'self'" in page
    status, text = served.ask("GET", f"/{served.token}/decisions.csv")
    assert (status, text) == (200, b"path,decision,label,when\nelsewhere.png,drop,,before\n")


def test_decisions_are_saved_at_once_and_can_be_taken_back(served: Served) -> None:
    path = served.paths[2]
    assert served.decide(position=2, path=path, decision="relabel", label=served.classes[1]) == (200, b"saved")
    saved = read_decisions(served.file, served.classes)
    assert list(saved) == ["elsewhere.png", path]
    assert (saved[path].kind, saved[path].label) == ("relabel", served.classes[1])
    assert saved[path].when.endswith("+00:00")
    assert served.decide(position=2, path=path, decision="keep", label="")[0] == 200
    assert read_decisions(served.file, served.classes)[path].kind == "keep"
    assert served.decide(position=2, path=path, decision="none", label="")[0] == 200
    assert list(read_decisions(served.file, served.classes)) == ["elsewhere.png"]


def test_two_reviews_and_an_editor_keep_each_others_decisions(served: Served) -> None:
    """Each of them has read the file before the others wrote."""
    folder = served.file.parent
    other = Review.open(folder / "gallery.html", served.file, str(folder / "manifest.csv"))
    assert served.decide(position=0, path=served.paths[0], decision="keep")[0] == 200
    other.decide({"position": 1, "path": served.paths[1], "decision": "drop"})
    with served.file.open("a", encoding="utf-8") as stream:
        stream.write("by-hand.png,drop,,\n")
    assert served.decide(position=2, path=served.paths[2], decision="keep")[0] == 200
    everything = ["elsewhere.png", *served.paths[:2], "by-hand.png", served.paths[2]]
    assert list(read_decisions(served.file, served.classes)) == everything
    assert served.ask("GET", f"/{served.token}/decisions.csv")[1] == served.file.read_bytes()
    served.file.write_text("path,decision\nx.png,maybe\n")
    for status, text in (
        served.decide(position=3, path=served.paths[3], decision="keep"),
        served.ask("GET", f"/{served.token}/decisions.csv"),
    ):
        assert status == 500 and b"line 2: decision must be one of" in text
    assert served.file.read_text() == "path,decision\nx.png,maybe\n"


def test_decisions_of_many_at_once_are_all_saved(served: Served) -> None:
    folder = served.file.parent
    reviews = [Review.open(folder / "gallery.html", served.file, str(folder / "manifest.csv")) for _ in served.paths]

    def decide(position: int) -> None:
        for kind in ("keep", "none", "drop"):
            reviews[position].decide({"position": position, "path": served.paths[position], "decision": kind})

    threads = [threading.Thread(target=decide, args=(position,)) for position in range(len(served.paths))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    saved = read_decisions(served.file, served.classes)
    assert {name: saved[name].kind for name in served.paths} == dict.fromkeys(served.paths, "drop")


def test_classes_of_the_run_that_no_row_of_the_manifest_has(served: Served) -> None:
    """What the page offers is taken, and can be read by the next review, of another run too."""
    folder = served.file.parent
    one = served.classes[0]
    (folder / "manifest.csv").write_text(f"path,label\na.png,{one}\n")
    served.file.write_text("path,decision,label\nelsewhere.png,relabel,contempt\n")
    for _ in range(2):
        review = Review.open(folder / "gallery.html", served.file, str(folder / "manifest.csv"))
        review.decide({"position": 0, "path": served.paths[0], "decision": "relabel", "label": review.classes[-1]})
    assert [row.label for row in review.decisions().values()] == ["contempt", review.classes[-1]]


def test_what_it_refuses(served: Served) -> None:
    before = served.file.read_bytes()
    path = served.paths[0]
    bad = [
        {"position": 6, "path": path, "decision": "keep"},
        {"position": -1, "path": path, "decision": "keep"},
        {"position": True, "path": served.paths[1], "decision": "keep"},
        {"position": 0, "path": "/etc/passwd", "decision": "keep"},
        {"position": 0, "path": path, "decision": "delete"},
        {"position": 0, "path": path, "decision": "relabel", "label": "joyful"},
        {"position": 0, "path": path, "decision": ["keep"]},
    ]
    for message in bad:
        assert served.decide(**message)[0] == 400, message
    where, kind = f"/{served.token}/decision", {"Content_Type": "application/json"}
    assert served.ask("POST", where, b"[1", **kind)[0] == 400
    assert served.ask("POST", where, b"[1]", **kind)[0] == 400
    assert served.ask("POST", where, b"{}", Content_Type="text/plain")[0] == 415
    assert served.ask("POST", where, None, Content_Length=str(LARGEST_REQUEST + 1), **kind)[0] == 413
    assert served.ask("POST", where, None, Content_Length="-1", **kind)[0] == 413
    assert served.file.read_bytes() == before


def test_without_the_token_or_under_another_name_there_is_nothing(served: Served) -> None:
    assert served.ask("GET", "/")[0] == 404
    assert served.ask("GET", "/decisions.csv")[0] == 404
    last = "y" if served.token.endswith("x") else "x"
    assert served.ask("GET", f"/{served.token[:-1]}{last}/")[0] == 404
    assert served.ask("GET", f"/{served.token}/../{served.file.name}")[0] == 404
    assert served.ask("GET", f"/{served.token}/manifest.csv")[0] == 404
    assert served.ask("POST", "/x/decision", b"{}", Content_Type="application/json")[0] == 404
    assert served.ask("GET", f"/{served.token}/", Host="evil.example")[0] == 404


def test_a_page_or_decisions_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "gallery.html").write_text("<html></html>")
    (tmp_path / "m.csv").write_text("path,label\na.png,neutral\n")
    with pytest.raises(UserError, match="not one that kinesics audit wrote"):
        Review.open(tmp_path / "gallery.html", tmp_path / "d.csv", str(tmp_path / "m.csv"))


def test_a_port_that_is_taken(served: Served, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"--port {served.port} can't be used"):
        make_server(Review(b"", [], (), (), tmp_path / "d.csv"), served.port)
