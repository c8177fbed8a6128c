"""The command line: one module per verb, imported only when its verb is called, so that --help is instant."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Sequence

VERBS: dict[str, str] = {
    "data": "make a manifest from a published layout, check it, correct it (convert, check, stats, apply-review)",
    "train": "train a system on a manifest",
    "federate": "train a system across silos that exchange weights and never data",
    "evaluate": "judge a trained run on a manifest",
    "compare": "run a study: methods x conditions x seeds, one table",
    "report": "write a run's report anew, or the figures of its answers (--figures)",
    "audit": "rank the training labels of a run by how likely they are wrong; review them",
    "predict": "answer for the faces in photos, videos or a camera, or for views of a road",
    "serve": "answer for photographs and videos over HTTP, with a page",
    "export": "write a run as ONNX or torch.export, checked against the run",
    "push": "upload a run's model to a Hugging Face hub",
    "pull": "download a model from a Hugging Face hub",
    "drive": "let a trained run steer the synthetic car on unseen roads",
    "import": "turn foreign weights into kinesics' own format",
    "topology": "design who talks to whom in a federation (design)",
    "demo": "train cross-entropy and LDLVA side by side on drawn faces with wrong labels",
    "doctor": "print the environment and what is missing",
}


def usage() -> str:
    """Text of `kinesics --help`."""
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {name:<{width}}  {text}" for name, text in VERBS.items())
    return (
        "usage: kinesics VERB ...\n\nHuman expression in the wild: train, judge and use models that answer with\n"
        f"distributions and uncertainty.\n\n{verbs}\n\nkinesics VERB --help tells more.\n"
        "kinesics --version prints the version."
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb.

    Returns:
        0 done, 1 the answer is "no" (unsound data), 2 bad input, 130 stopped by the user.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if words else 2
    if words[0] in ("--version", "-V"):
        from importlib.metadata import version

        print(f"kinesics {version('kinesics')}")
        return 0
    if words[0] not in VERBS:
        import difflib

        close = difflib.get_close_matches(words[0], VERBS, n=1)
        known = f"did you mean {close[0]}?" if close else f"known verbs: {', '.join(VERBS)}"
        print(f"error: unknown verb {words[0]!r}; {known}", file=sys.stderr)
        return 2
    from kinesics.errors import UserError
    from kinesics.progress import setup_logging

    setup_logging()
    if words[0] != "serve":  # it serves for weeks; what it does about its memory is its own
        from kinesics.allocator import keep_memory

        keep_memory()
    try:
        return int(importlib.import_module(f"kinesics.cli.{_module(words[0])}").main(words[1:]))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno not in (errno.ENAMETOOLONG, errno.ENOSPC, errno.EDQUOT):
            raise
        name = str(error.filename or "")
        where = f": {name[:80]}{'...' if len(name) > 80 else ''}" if name else ""
        print(f"error: {error.strerror}{where}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        again = {"compare": "the same command goes on where it was", "audit": "the same command keeps finished folds"}
        print(f"stopped; {again.get(words[0], 'a training goes on with --resume')}", file=sys.stderr)
        return 130


def _module(verb: str) -> str:
    return "import_weights" if verb == "import" else verb
