"""The verb `serve` in a process of its own, with the shipped model."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any

import pytest

for needed in ("fastapi", "uvicorn", "python_multipart", "prometheus_client", "httpx"):
    pytest.importorskip(needed, reason="the extra serve is not installed")


def test_it_answers_with_the_shipped_model_and_ends(tmp_path: Path, started: Any) -> None:
    import httpx

    from kinesics.data.synthetic.faces import write_faces

    write_faces(tmp_path, 1, 1, 1, seed=0, size=64)
    face = sorted(tmp_path.rglob("*.png"))[0]
    process = started("serve", "--port", "0", "--megabytes", "1")
    said, url = "", list[str]()
    while not url and (line := process.stderr.readline()):
        said, url = said + line, re.findall(r"http://127\.0\.0\.1:\d+", line)
    assert url and said.startswith("loading ferplus-compact"), said
    with httpx.Client(base_url=url[0], verify=False, timeout=30) as client:
        about = client.get("/about").json()
        assert about["model"] == "ferplus-compact" and about["limits"]["megabytes"] == 1
        answer = client.post("/predict", files={"file": face.read_bytes()}).json()
        assert answer["width"] == 64 and set(answer["faces"][0]["distribution"]) == set(about["classes"])
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--port", "70000"], "--port must be 0 to 65535; got 70000"),
        (["--port", "x"], "--port"),
        (["--megabytes", "0"], "--megabytes must be above 0"),
        (["--workers", "99999999"], "--workers must be from 1 to 64; got 99999999"),
        (["--workers", "0"], "--workers must be from 1 to 64; got 0"),
        (["--megabyte", "3"], "did you mean --megabytes"),
        (["--faces", "dlip"], "did you mean dlib"),
        (["no/such/run"], "no/such/run"),
    ],
)
def test_wrong_words(words: list[str], said: str, kinesics: Any) -> None:
    answer = kinesics("serve", *words)
    assert answer.code == 2 and said in answer.err and "Traceback" not in answer.err


def test_an_address_that_is_taken(kinesics: Any) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        answer = kinesics("serve", "--port", taken.getsockname()[1])
    assert answer.code == 2 and "can't listen on 127.0.0.1" in answer.err


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, kinesics: Any) -> None:
    from importlib.util import find_spec

    from kinesics.cli import serve

    monkeypatch.setattr(serve, "find_spec", lambda name: None if name == "uvicorn" else find_spec(name))
    answer = kinesics("serve")
    assert answer.code == 2 and "serving needs uvicorn" in answer.err and "kinesics[serve]" in answer.err


def test_help_names_every_bound(kinesics: Any) -> None:
    from dataclasses import fields

    from kinesics.serve.limits import Limits

    answer = kinesics("serve", "--help")
    assert answer.code == 0
    assert all("--" + item.name.replace("_", "-") in answer.out for item in fields(Limits))
