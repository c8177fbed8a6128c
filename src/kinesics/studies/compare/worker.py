"""A cell in a process of its own: `python -m kinesics.studies.compare.worker train|federate RUN`.

It goes on with the recipe in RUN/config.yaml, as `kinesics train --resume RUN` does, and ends when the study that
started it ends: its standard input is a pipe from there, and nothing is ever written into it.
"""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import replace
from pathlib import Path

from kinesics.allocator import keep_memory
from kinesics.errors import UserError
from kinesics.progress import setup_logging


def watch_parent() -> None:
    """End this process at once when the other end of standard input is closed."""

    def wait() -> None:
        while os.read(0, 1):  # not by sys.stdin, whose lock a thread must not hold when Python ends
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def run_cell(verb: str, folder: Path) -> None:
    """Train what RUN/config.yaml says, from where it was stopped.

    Raises:
        UserError: anything wrong with data, settings or files.
    """
    from kinesics.engine.session import train_run
    from kinesics.systems import get_system
    from kinesics.systems.recipe import parse_recipe, read_recipe

    config = folder / "config.yaml"
    if verb == "train":
        recipe = replace(read_recipe(config), out=str(folder))
        train_run(get_system(recipe.system).task_class, recipe, resume=True)
        return
    from kinesics.federated.config import FederatedRecipe, add_flags
    from kinesics.federated.network import make_network
    from kinesics.federated.session import federate_run

    federation = parse_recipe(None, ["--config", str(config)], FederatedRecipe, add_flags)
    assert isinstance(federation, FederatedRecipe)
    federation = replace(federation, out=str(folder))
    federate_run(get_system(federation.system).task_class, federation, make_network, resume=True)


def main() -> int:
    """Run the cell that the command line names: 0 done, 2 bad input."""
    watch_parent()
    setup_logging()
    keep_memory()
    verb, folder = sys.argv[1:]
    try:
        run_cell(verb, Path(folder))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
