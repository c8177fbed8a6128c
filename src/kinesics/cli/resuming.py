"""The words of a verb that trains: a system and its flags, or a run to go on with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from kinesics.engine.config import Recipe
from kinesics.errors import UserError

Kind = TypeVar("Kind", bound=Recipe)


def chosen_recipe(
    verb: str, words: Sequence[str], parse: Callable[[str | None, Sequence[str]], Kind]
) -> tuple[Kind, bool]:
    """What to train, and whether to go on with what is there.

    Args:
        verb: train or federate, for messages.
        words: [SYSTEM] flags, of which --resume [RUN] is taken out here.
        parse: (system or None, flags) -> recipe.

    Raises:
        UserError: --resume RUN beside other words, --resume without a run, no run in RUN, flags that don't parse.
    """
    left = list(words)
    system = left.pop(0) if not left[0].startswith("-") else None
    resume, folder, left = _take_resume(left)
    if folder is not None:
        if system or left:
            raise UserError(
                f"--resume {folder} goes on with the recipe stored there; got also {' '.join([system or '', *left])}",
                hint="to resume with flags, name the run by --out and give --resume without a value",
            )
        return replace(parse(None, ["--config", str(folder / "config.yaml")]), out=str(folder)), True
    recipe = parse(system, left)
    if resume and not recipe.out:
        raise UserError("--resume without a run directory", hint=f"kinesics {verb} --resume RUN")
    return recipe, resume


def _take_resume(words: list[str]) -> tuple[bool, Path | None, list[str]]:
    """Split `--resume [RUN]` off the other words."""
    for place, word in enumerate(words):
        if word.startswith("--resume="):
            return True, _run_folder(word.split("=", 1)[1]), words[:place] + words[place + 1 :]
        if word == "--resume":
            following = words[place + 1] if place + 1 < len(words) else ""
            if following and not following.startswith("-"):
                return True, _run_folder(following), words[:place] + words[place + 2 :]
            return True, None, words[:place] + words[place + 1 :]
    return False, None, words


def _run_folder(text: str) -> Path:
    folder = Path(text)
    if not (folder / "config.yaml").is_file():
        raise UserError(f"--resume {folder}: no run there (config.yaml is missing)")
    return folder
