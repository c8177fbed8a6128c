"""Push and pull against a stand-in of the hub on this machine: what is sent, what is kept, what is refused."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import torch

import kinesics
from kinesics.engine.run import Run
from kinesics.engine.task import DataSpec
from kinesics.errors import UserError
from kinesics.inference.model_card import card_of
from kinesics.systems import get_system

pytest.importorskip("huggingface_hub")
import huggingface_hub

from kinesics.inference.hub import pull, push


class Hub(ThreadingHTTPServer):
    """Repositories in memory: name -> list of (commit, {file: bytes}), newest last."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, list[tuple[str, dict[str, bytes]]]] = {}
        self.large: dict[str, bytes] = {}
        self.refuse = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    """As much of the hub's interface as uploading and downloading a model need."""

    server: Hub

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""

    def answer(self, content: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def missing(self, code: str) -> None:
        self.answer({"error": code}, 404, {"X-Error-Code": code, "X-Error-Message": code})

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def do_POST(self) -> None:
        path, body = urlsplit(self.path).path, self.body()
        if self.server.refuse:
            return self.answer({"error": "no"}, self.server.refuse)
        if path == "/api/repos/create":
            told = json.loads(body)
            name = f"{told['organization']}/{told['name']}" if told.get("organization") else told["name"]
            self.server.repositories.setdefault(name, [])
            return self.answer({"url": f"{self.server.address}/{name}"})
        if "/preupload/" in path:
            files = json.loads(body)["files"]
            modes = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                    "shouldIgnore": False,
                }
                for file in files
            ]
            return self.answer({"files": modes})
        if path.endswith("/info/lfs/objects/batch"):
            objects = [
                {**item, "actions": {"upload": {"href": f"{self.server.address}/large/{item['oid']}"}}}
                for item in json.loads(body)["objects"]
            ]
            return self.answer({"transfer": "basic", "objects": objects})
        if "/commit/" in path:
            name = path.removeprefix("/api/models/").split("/commit/")[0]
            versions = self.server.repositories[name]
            files = dict(versions[-1][1]) if versions else {}
            for line in map(json.loads, body.decode().splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    files[value["path"]] = self.server.large[value["oid"]]
            commit = hashlib.sha1(repr((len(versions), sorted(files))).encode()).hexdigest()
            versions.append((commit, files))
            url = f"{self.server.address}/{name}/commit/{commit}"
            return self.answer({"success": True, "commitUrl": url, "commitOid": commit})
        return self.answer({})

    def do_PUT(self) -> None:
        self.server.large[self.path.rsplit("/", 1)[1]] = self.body()
        self.answer({})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if self.server.refuse:
            return self.answer({"error": "no"}, self.server.refuse)
        name = "/".join(path.removeprefix("/api/models").strip("/").split("/")[:2])
        versions = self.server.repositories.get(name)
        if not versions:
            return self.missing("RepoNotFound")
        rest = path.split(name, 1)[1].strip("/").split("/")
        revision = rest[1] if len(rest) > 1 else "main"
        commits = dict(versions) | {"main": versions[-1][1]}
        if revision not in commits:
            return self.missing("RevisionNotFound")
        files = commits[revision]
        commit = versions[-1][0] if revision == "main" else revision
        if not path.startswith("/api/"):  # /owner/name/resolve/REVISION/FILE
            content = files.get(rest[2])
            if content is None:
                return self.missing("EntryNotFound")
            etag = f'"{hashlib.sha256(content).hexdigest()}"'
            return self.answer(content, headers={"X-Repo-Commit": commit, "ETag": etag})
        if rest[0] == "tree":
            listing = [
                {"type": "file", "path": file, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for file, content in files.items()
            ]
            return self.answer(listing)
        siblings = [{"rfilename": file} for file in files]
        return self.answer({"id": name, "modelId": name, "sha": commit, "siblings": siblings, "private": False})


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A hub on this machine that HF_ENDPOINT names."""
    server = Hub()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_TOKEN", "hf_of_this_test")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)  # plain transfers of large files
    yield server
    huggingface_hub.close_session()  # its connections to this server would stay open until the tests' end
    server.shutdown()
    server.server_close()


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A small untrained model, with all kinds of files that must stay at home beside it."""
    torch.manual_seed(0)
    task_class = get_system("dronet").task_class
    task = task_class.build(task_class.config_class(), DataSpec((), 32, 1, 0.5, 0.25, 0))
    folder = Run(tmp_path / "run")
    folder.write_model(task, "dronet", task.shared_state())
    data = {"manifest": "/secret/place/roads.csv", "fingerprint": "ab" * 32, "train": 7, "valid": 2, "test": 0}
    scores = {"valid": {"rmse": 0.25, "mae": float("nan")}}
    folder.write_json("run.json", {"data": data, "seed": 3, "preset": "default", "selected": scores})
    for name in ("predictions.csv", "samples.csv", "metrics.csv", "report.html", "config.yaml"):
        (folder.folder / name).write_text("private")
    return folder


def test_what_is_pushed_is_pulled(hub: Hub, run: Run, tmp_path: Path) -> None:
    address = push(run.folder, "me/roads", terms="cc-by-4.0")
    ((commit, files),) = hub.repositories["me/roads"]
    assert commit in address
    assert sorted(files) == ["README.md", "model.json", "model.safetensors"]
    assert not any(b"private" in content or b"/secret" in content for content in files.values())
    got = pull("me/roads", tmp_path / "got")
    for name in ("model.json", "model.safetensors"):
        assert (got.folder / name).read_bytes() == (run.folder / name).read_bytes()
    origin = got.read_json("origin.json")
    assert origin["commit"] == commit and origin["repository"] == "me/roads"
    assert origin["sha256"] == hashlib.sha256(files["model.safetensors"]).hexdigest()
    assert sorted(item.name for item in got.folder.iterdir()) == [
        "README.md", "model.json", "model.safetensors", "origin.json",
    ]  # fmt: skip
    assert kinesics.load(got.folder).steers


def test_a_pinned_commit_stays_what_it_was(hub: Hub, run: Run, tmp_path: Path) -> None:
    push(run.folder, "me/roads")
    first = hub.repositories["me/roads"][0][0]
    old = (run.folder / "README.md").exists()
    assert not old
    hub.repositories["me/roads"].append(("f" * 40, {"README.md": b"empty now"}))
    got = pull("me/roads", tmp_path / "got", revision=first)
    assert got.read_json("origin.json")["revision"] == first
    with pytest.raises(UserError, match="no model.safetensors and no model.json"):
        pull("me/roads", tmp_path / "new")
    with pytest.raises(UserError, match="no such revision"):
        pull("me/roads", tmp_path / "new", revision="v9")
    assert not (tmp_path / "new").exists()


def test_damaged_and_foreign_files_are_refused(hub: Hub, run: Run, tmp_path: Path) -> None:
    push(run.folder, "me/roads")
    files = hub.repositories["me/roads"][0][1]
    weights, description = files["model.safetensors"], files["model.json"]
    files["model.safetensors"] = weights[:-1] + bytes([weights[-1] ^ 1])
    with pytest.raises(UserError, match="does not have the checksum"):
        pull("me/roads", tmp_path / "new")
    files["model.safetensors"] = weights
    files["model.json"] = description.replace(b'"dronet"', b'"dronett"')
    with pytest.raises(UserError, match="unknown system 'dronett'"):
        pull("me/roads", tmp_path / "new")
    files["model.json"] = b"[1"
    with pytest.raises(UserError, match=r"model\.json can't be read"):
        pull("me/roads", tmp_path / "new")
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").write_text("mine")
    for taken, said in ((run.folder, "already holds a model"), (tmp_path / "file", "is a file")):
        with pytest.raises(UserError, match=said):
            pull("me/roads", taken)


@pytest.mark.parametrize(("status", "said"), [(401, "me/roads"), (403, "may not do that"), (500, "HTTP 500")])
def test_a_hub_that_refuses(hub: Hub, run: Run, tmp_path: Path, status: int, said: str) -> None:
    hub.refuse = status
    with pytest.raises(UserError, match=said):
        push(run.folder, "me/roads")


def test_no_repository_and_no_hub(hub: Hub, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="no repository me/nothing"):
        pull("me/nothing", tmp_path / "new")
    with pytest.raises(UserError, match="no name of a repository"):
        pull("a/b/c", tmp_path / "new")
    with pytest.raises(UserError, match="no trained model in"):
        push(tmp_path / "nowhere", "me/roads")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nothing listens there
    with pytest.raises(UserError, match="can't be reached"):
        pull("me/roads", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_the_card_says_what_must_be_known(run: Run, tmp_path: Path) -> None:
    predictor: Any = kinesics.load(run.folder)
    card = card_of(run, predictor.task, "dronet", "me/roads")
    assert card.startswith("---\nlibrary_name: kinesics\nlicense: other\n")
    assert "| rmse | 0.2500 |" in card and "mae" not in card  # not a number
    assert "`roads.csv`: 7 train, 2 valid samples" in card and "/secret" not in card
    for part in ("## Data and terms", "## Measured", "## Calibration", "## Limits"):
        assert part in card
    shipped: Any = kinesics.load("ferplus-compact")
    (tmp_path / "NOTICE").write_text("Data: of somebody else\n")
    card = card_of(Run(tmp_path), shipped.task, "cross_entropy", "me/faces", "cc-by-nc-4.0")
    assert "```\nData: of somebody else\n```" in card
    fitted = f"One temperature, {shipped.task.calibration['temperature']:.4f}"
    assert "license: cc-by-nc-4.0" in card and fitted in card and "No scores are recorded" in card
    (tmp_path / "small.md").write_text("# small\n\n## How good\n\nMeasured elsewhere.\n")
    card = card_of(Run(tmp_path), shipped.task, "cross_entropy", "me/faces", stem="small")
    assert card.endswith("```\n\n## How good\n\nMeasured elsewhere.\n") and "No scores are recorded" not in card
