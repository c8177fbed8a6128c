"""kinesics serve: answer for photographs and videos over HTTP, with a page to try it on."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields
from importlib.util import find_spec
from typing import Any

from kinesics.cli.arguments import Parser

_NEEDED = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")


def main(argv: Sequence[str]) -> int:
    """Run the verb."""
    from kinesics.errors import UserError

    parser = Parser(prog="kinesics serve", description=__doc__)
    parser.add_argument(
        "run",
        nargs="?",
        help="run directory, a shipped model's name or an exported .onnx file; by default the model that ships",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1: this machine alone)")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one (8000)")
    parser.add_argument(
        "--faces", default="dlib+haar", metavar="DETECTOR", help="dlib+haar, dlib, haar or a file.onnx (dlib+haar)"
    )
    parser.add_argument("--last", action="store_true", help="use the last epoch's weights instead of the kept ones")
    parser.add_argument("--device", default="cpu", help="of a run: auto, cpu, cuda or cuda:N (cpu)")
    parser.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME", help="a further name it may be called by"
    )
    parser.add_argument(
        "--origin", action="append", default=[], metavar="URL", help="a further site whose pages may post"
    )
    bounds = parser.add_argument_group("bounds of a request")
    _add_bounds(bounds)
    given = parser.parse_args(list(argv))
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        raise UserError(f"serving needs {', '.join(missing)}", hint="pip install 'kinesics[serve]'")
    from kinesics.allocator import limit_arenas

    limit_arenas()  # before anything that starts threads is imported
    from kinesics.inference.loading import load
    from kinesics.inference.reader import DEFAULT_MODEL
    from kinesics.progress import log
    from kinesics.serve.app import make_app
    from kinesics.serve.limits import Limits
    from kinesics.serve.server import allowed_hosts, run
    from kinesics.vision.detectors import make_detector

    if not 0 <= given.port <= 65535:
        raise UserError(f"--port must be 0 to 65535; got {given.port}")
    limits = Limits(**{item.name: getattr(given, item.name) for item in fields(Limits)})
    make_detector(given.faces)  # a missing one is to be known now
    log.info("loading %s", given.run or DEFAULT_MODEL)
    recogniser = load(given.run, last=given.last, device=given.device)
    if not recogniser.classes:
        raise UserError(f"{given.run} does not answer with expressions, which is all that is served")
    app = make_app(
        recogniser,
        lambda video: make_detector(given.faces, video=video),
        limits,
        model=str(given.run or DEFAULT_MODEL),
        hosts=allowed_hosts(given.host, given.allow_host),
        origins=given.origin,
    )
    with suppress(KeyboardInterrupt):  # the way to stop it
        run(app, given.host, given.port)
    return 0


def _add_bounds(group: Any) -> None:
    """A flag for each field of `Limits`, its default and its meaning those of the field."""
    from kinesics.serve.limits import Limits

    for item in fields(Limits):
        default: Any = item.default
        group.add_argument(
            "--" + item.name.replace("_", "-"), type=type(default), default=default,
            metavar="N", help=f"{item.metadata['meaning']} ({default:g})",
        )  # fmt: skip
