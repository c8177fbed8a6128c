"""kinesics train: train a system on a manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from kinesics.errors import UserError

HELP = """usage: kinesics train SYSTEM --data MANIFEST.csv [--out RUN] [flags]
       kinesics train --config RECIPE.yaml [flags]
       kinesics train --resume RUN

systems: {systems}

--resume         with --out: go on where the run there stopped, with the same flags
--resume RUN     go on with RUN's own recipe
--print_config   print the complete recipe as YAML
kinesics train SYSTEM --help lists every flag of a system.
Data-parallel: torchrun --nproc-per-node 2 -m kinesics train ...
"""


def main(argv: Sequence[str]) -> int:
    """Run the verb; see `HELP`."""
    words = list(argv)
    from kinesics.systems import SYSTEMS, get_system

    if not words or words[0] in ("-h", "--help"):
        print(HELP.format(systems=", ".join(SYSTEMS)))
        return 0 if words else 2
    from kinesics.engine import distributed
    from kinesics.engine.session import train_run
    from kinesics.systems.recipe import parse_recipe, read_recipe

    system = words.pop(0) if not words[0].startswith("-") else None
    resume, folder, words = take_resume(words)
    if folder is not None:
        if system or words:
            raise UserError(
                f"--resume {folder} goes on with the recipe stored there; got also {' '.join([system or '', *words])}",
                hint="to resume with flags, name the run by --out and give --resume without a value",
            )
        recipe = replace(read_recipe(folder / "config.yaml"), out=str(folder))
    else:
        recipe = parse_recipe(system, words)
        if resume and not recipe.out:
            raise UserError("--resume without a run directory", hint="kinesics train --resume RUN")
    try:
        train_run(get_system(recipe.system).task_class, recipe, resume=resume)
    finally:
        distributed.stop()
    return 0


def take_resume(words: list[str]) -> tuple[bool, Path | None, list[str]]:
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
