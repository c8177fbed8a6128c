"""The service's interface: answers in the declared forms, bounds, errors, who may ask, an orderly end."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType, SimpleNamespace
from typing import Any

import httpx
import pytest

from kinesics.serve import schema
from kinesics.serve.app import make_app
from kinesics.serve.guard import POLICY
from kinesics.serve.limits import Limits
from kinesics.serve.pages import ASSETS
from kinesics.serve.server import allowed_hosts, is_loopback

HTTP = httpx.Client(verify=False, timeout=30)
NDJSON = {"Accept": "application/x-ndjson"}


def post(server: Any, data: bytes, headers: dict[str, str] | None = None, **query: Any) -> httpx.Response:
    kind = {"Content-Type": "application/octet-stream"}
    return HTTP.post(
        f"{server.url}/predict", params=query, content=data, headers={**kind, **(headers or {})}, timeout=30
    )


def test_a_photograph(server: Any, make: SimpleNamespace) -> None:
    picture = make.encoded(make.squares(300, 200, (200, 40, 50, 255), (30, 60, 80, 128)))
    raw = post(server, picture)
    form = HTTP.post(f"{server.url}/predict", files={"file": ("a.png", picture)}, data={"note": "passed over"})
    assert raw.status_code == form.status_code == 200
    answer = schema.PhotoRecord.model_validate(raw.json())
    assert answer.faces == schema.PhotoRecord.model_validate(form.json()).faces
    assert [face.box for face in answer.faces] == [[30, 60, 80, 80], [200, 40, 50, 50]]  # from the left
    assert [face.distribution["happiness"] for face in answer.faces] == pytest.approx([128 / 255, 1.0], abs=0.01)
    assert all(sum(face.distribution.values()) == pytest.approx(1, abs=1e-4) for face in answer.faces)
    assert all(face.projection for face in answer.faces)
    assert post(server, make.encoded(make.squares(300, 200))).json()["faces"] == []
    assert len(post(server, make.encoded(make.squares(300, 200)), faces="whole").json()["faces"]) == 1


def test_a_video_whole_and_line_by_line(server: Any, make: SimpleNamespace) -> None:
    data = make.film(make.moving(12))
    whole = post(server, data)
    answer = schema.VideoRecord.model_validate(whole.json())
    assert len(answer.frames) == 12 and answer.tracks[0].frames == 12 and answer.truncated is None
    lines = post(server, data, NDJSON)
    assert lines.headers["content-type"] == "application/x-ndjson"
    head, *frames, tail = [json.loads(line) for line in lines.text.splitlines()]
    assert {**head, "frames": frames, **tail, "seconds": 0} == {**whole.json(), "seconds": 0}
    assert [frame["frame"] for frame in post(server, data, every=4).json()["frames"]] == [0, 4, 8]


@pytest.mark.parametrize(
    ("query", "name"),
    [({"every": 0}, "every"), ({"every": "x"}, "every"), ({"fps": "nan"}, "fps"), ({"fps": -1}, "fps"),
     ({"start": "inf"}, "start"), ({"start": -1}, "start"), ({"end": 0}, "end"), ({"faces": "all"}, "faces")],
)  # fmt: skip
def test_parameters_out_of_range(server: Any, query: dict[str, Any], name: str) -> None:
    answer = post(server, b"", **query)
    assert answer.status_code == 422
    error = schema.ErrorAnswer.model_validate(answer.json()).error
    assert error.code == "parameter" and error.message.startswith(name)


def test_errors_have_one_form(server: Any) -> None:
    for answer, status in (
        (HTTP.get(f"{server.url}/nothing"), 404), (HTTP.get(f"{server.url}/predict"), 405),
        (HTTP.get(f"{server.url}/static/index.html"), 404), (HTTP.get(f"{server.url}/../pyproject.toml"), 404),
        (HTTP.post(f"{server.url}/predict", headers={"Host": "evil.example"}), 400),
        (HTTP.post(f"{server.url}/predict", headers={"Origin": "https://evil.example"}), 403),
        (HTTP.post(f"{server.url}/predict", headers={"Origin": "null"}), 403),
    ):  # fmt: skip
        assert answer.status_code == status
        schema.ErrorAnswer.model_validate(answer.json())
    own = HTTP.post(f"{server.url}/predict", headers={"Origin": server.url, "Content-Type": "image/png"})
    assert own.json()["error"]["code"] == "empty"


def test_every_answer_has_the_strict_headers(server: Any) -> None:
    for path in (*ASSETS, "/docs", "/about", "/nothing"):
        answer = HTTP.get(server.url + path)
        assert answer.headers["content-security-policy"] == POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "server" not in answer.headers and "access-control-allow-origin" not in answer.headers
    assert "unsafe" not in POLICY and "http" not in POLICY and "*" not in POLICY


def test_the_pages_load_nothing_from_elsewhere(server: Any) -> None:
    for path in (*ASSETS, "/docs"):
        answer = HTTP.get(server.url + path)
        assert answer.status_code == 200 and answer.content
        named = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\"'\s]*", re.sub(r"(?m)^\s*//.*$", "", answer.text)))
        assert named <= {"http://www.w3.org/2000/svg", "http://127.0.0.1:8000/predict"} | {
            word for word in named if word.startswith("http://127.0.0.1:8000/predict")
        }, path
    page = HTTP.get(server.url).text
    assert "<style" not in page and "style=" not in page and "onclick" not in page


def test_the_interface_is_described(server: Any) -> None:
    described = HTTP.get(f"{server.url}/openapi.json").json()
    assert set(described["paths"]) == {"/predict", "/healthz", "/metrics", "/about"}
    answers = described["paths"]["/predict"]["post"]["responses"]
    assert {"200", "400", "403", "408", "413", "415", "422", "429", "503"} <= set(answers)
    page = HTTP.get(f"{server.url}/docs").text
    assert all(f"<code>{name}</code>" in page for name in ("every", "fps", "start", "end", "faces", "429"))
    about = schema.AboutRecord.model_validate(HTTP.get(f"{server.url}/about").json())
    assert about.classes == ["neutral", "happiness", "sadness"] and about.limits["megabytes"] == 4
    assert about.circumplex["neutral"] == (0.0, 0.0)


def test_metrics(server: Any, make: SimpleNamespace) -> None:
    def read(name: str) -> float:
        found = re.search(rf"(?m)^{re.escape(name)} (\S+)$", HTTP.get(f"{server.url}/metrics").text)
        return float(found[1]) if found else 0.0

    names = (
        'kinesics_requests_total{route="/predict",status="200"}',
        'kinesics_requests_total{route="/predict",status="415"}',
        'kinesics_faces_total{kind="photo"}',
        'kinesics_request_seconds_count{route="/predict"}',
        "kinesics_batch_faces_sum",
    )
    before = [read(name) for name in names]
    assert post(server, make.encoded(make.squares(300, 200, (9, 9, 50, 255), (99, 99, 50, 255)))).status_code == 200
    assert post(server, b"text").status_code == 415
    assert [read(name) - old for name, old in zip(names, before, strict=True)] == [1, 1, 2, 2, 2]
    assert read('kinesics_queue_length{lane="photo"}') == 0 and read("process_resident_memory_bytes") > 1e7
    HTTP.get(f"{server.url}/no/such/{time.time()}")
    assert "/no/such" not in HTTP.get(f"{server.url}/metrics").text  # a label for each path would grow without end


def test_a_full_queue_says_when_to_come_again(start: Any, make: SimpleNamespace) -> None:
    """12 at once on a service that has room for 1 + 2 photographs and 1 + 1 videos."""
    slow = start(0.4, workers=1, queue=2, film_queue=1)
    picture = make.encoded(make.squares(300, 200, (9, 9, 50, 255)))
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: post(slow, picture), range(12)))
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {200, 429} and statuses.count(200) >= 3
    for answer in answers:
        if answer.status_code == 429:
            error = schema.ErrorAnswer.model_validate(answer.json()).error
            assert error.code == "busy" and int(answer.headers["retry-after"]) == error.retry_after >= 1
    assert post(slow, picture).status_code == 200  # and it is free again
    assert slow.left() == []


def test_a_late_answer_is_given_up(start: Any, make: SimpleNamespace) -> None:
    slow = start(1.5, photo_seconds=0.5)
    began = time.monotonic()
    answer = post(slow, make.encoded(make.squares(300, 200, (9, 9, 50, 255))))
    assert answer.status_code == 503 and answer.json()["error"]["code"] == "timeout"
    assert "retry-after" in answer.headers and time.monotonic() - began < 1.4
    assert slow.left() == []


def test_it_ends_in_order(start: Any, make: SimpleNamespace) -> None:
    """What runs when the signal comes is answered; then the temporary folder is gone."""
    slow = start(1.0)
    picture, found = make.encoded(make.squares(300, 200, (9, 9, 50, 255))), []
    client = threading.Thread(target=lambda: found.append(post(slow, picture).status_code))
    client.start()
    until = time.monotonic() + 10
    while 'requests_inside{lane="photo"} 1' not in HTTP.get(f"{slow.url}/metrics").text and time.monotonic() < until:
        time.sleep(0.02)
    slow.process.send_signal(signal.SIGTERM)
    client.join(15)
    assert found == [200]
    slow.process.wait(15)
    assert list(slow.temporary.iterdir()) == []


def test_requests_at_the_same_time_share_forward_passes(stand_in: ModuleType, make: SimpleNamespace) -> None:
    """Inside one process, so that the model can be asked what it saw."""
    model = stand_in.StandIn()
    app = make_app(model, lambda fast: stand_in.bright, Limits(workers=4, batch_seconds=0.1))
    picture = make.encoded(make.squares(300, 200, (9, 9, 50, 255)))

    async def story() -> list[int]:
        async with app.router.lifespan_context(app):
            model.batches.clear()
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                headers = {"Content-Type": "image/png"}
                many = [client.post("/predict", content=picture, headers=headers) for _ in range(16)]
                assert [answer.status_code for answer in await asyncio.gather(*many)] == [200] * 16
            app.state.service.stopping = True
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                assert (await client.get("/healthz")).status_code == 503
                assert (await client.post("/predict", content=picture, headers=headers)).status_code == 503
        return list(model.batches)

    batches = asyncio.run(story())
    assert sum(batches) == 16 and len(batches) <= 6


def test_a_broken_model_is_an_error_without_details(stand_in: ModuleType, make: SimpleNamespace) -> None:
    class Broken(stand_in.StandIn):  # type: ignore[misc,name-defined]
        def answer(self, pixels: Any) -> Any:
            if self.batches:
                raise RuntimeError("a secret")
            return super().answer(pixels)

    app = make_app(Broken(), lambda fast: stand_in.bright)

    async def story() -> httpx.Response:
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                picture = make.encoded(make.squares(300, 200, (9, 9, 50, 255)))
                return await client.post("/predict", content=picture, headers={"Content-Type": "image/png"})

    answer = asyncio.run(story())
    assert answer.status_code == 500 and "secret" not in answer.text
    schema.ErrorAnswer.model_validate(answer.json())


def test_who_may_call_it_by_which_name() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.0.0.2", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.0.2", "example.org", "localhost.example.org")))
    assert allowed_hosts("127.0.0.1", ["box"]) == {"localhost", "127.0.0.1", "::1", "box"}
    assert allowed_hosts("0.0.0.0") is None and allowed_hosts("0.0.0.0", ["box"]) == {"box"}
