"""The entry: help at once, one way to say no, and no traceback for anything a user can type."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from kinesics import cli
from kinesics.cli import VERBS
from kinesics.errors import UserError


def test_help_is_instant() -> None:
    """Processor time, the best of three: the machine may be busy with other things."""
    taken = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([sys.executable, "-m", "kinesics", "--help"], capture_output=True, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(taken) < 0.4
    assert all(f"\n  {verb} " in done.stdout for verb in VERBS)


def test_version(kinesics: Callable[..., Any]) -> None:
    answer = kinesics("--version")
    assert (answer.code, answer.out) == (0, f"kinesics {version('kinesics')}\n")


def test_no_verb_shows_the_verbs(kinesics: Callable[..., Any]) -> None:
    answer = kinesics()
    assert answer.code == 2 and "usage: kinesics VERB" in answer.out


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str, kinesics: Callable[..., Any]) -> None:
    answer = kinesics(verb, "--help")
    assert answer.code == 0 and f"usage: kinesics {verb}" in answer.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("trian",), "did you mean train?"),
        (("xyzzy",), "known verbs: data, train"),
        (("evaluate", "run", "--dat", "x.csv"), "did you mean --data"),
        (("evaluate", "run", "--data", "x.csv", "--jsn"), "did you mean --json"),
        (("evaluate",), "required: run, --data"),
        (("predict", "run", "a.png", "--formt", "csv"), "did you mean --format"),
        (("predict", "run", "a.png", "--format", "xml"), "'table', 'csv', 'jsonl'"),
        (("predict", "run"), "run: there is no such file"),
        (("predict",), "nothing to answer for"),
        (("doctor", "--jason"), "did you mean --json"),
        (("import", "a.pth", "out"), "--backbone"),
        (("demo", "--epoch", "2"), "did you mean --epochs"),
        (("demo", "--n-train", "3"), "--n-train must be at least 50; got 3"),
    ],
)
def test_mistakes_are_answered_with_what_was_meant(
    words: tuple[str, ...], said: str, kinesics: Callable[..., Any]
) -> None:
    answer = kinesics(*words)
    assert answer.code == 2 and answer.out == ""
    assert answer.err.startswith("error: ") and said in answer.err, answer.err


def test_the_real_command_has_the_same_exit_code_and_no_traceback(command: Callable[..., Any]) -> None:
    answer = command("evaluate", "missing", "--data", "missing.csv")
    assert answer.code == 2 and answer.out == ""
    assert answer.err.startswith("error: no trained model in missing") and "Traceback" not in answer.err


def test_ends(monkeypatch: pytest.MonkeyPatch, kinesics: Callable[..., Any]) -> None:
    """A wrong input, an impatient user, a reader that has left."""

    def ending(error: BaseException) -> Callable[..., int]:
        def verb(words: Any) -> int:
            raise error

        return verb

    from kinesics.cli import doctor

    for error, code, said in (
        (UserError("got a", hint="give b"), 2, "error: got a\n  give b\n"),
        (KeyboardInterrupt(), 130, "stopped; a training goes on with --resume\n"),
        (OSError(28, "No space left on device", "runs/a.png"), 2, "error: No space left on device: runs/a.png\n"),
        (OSError(28, "No space left on device"), 2, "error: No space left on device\n"),
    ):
        monkeypatch.setattr(doctor, "main", ending(error))
        answer = kinesics("doctor")
        assert (answer.code, answer.err) == (code, said)


def test_output_into_a_closed_pipe_is_no_error() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "kinesics", "doctor", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    err = process.stderr.read()
    assert process.wait(timeout=100) == 0 and err == ""


def test_every_verb_has_a_module() -> None:
    folder = Path(cli.__file__).parent
    for verb in VERBS:
        assert (folder / f"{cli._module(verb)}.py").is_file()


def test_a_name_that_no_file_can_have(kinesics: Callable[..., Any]) -> None:
    answer = kinesics("predict", "n" * 300 + ".jpg")
    assert answer.code == 2 and "File name too long: nnn" in answer.err and len(answer.err) < 200
