"""kinesics train: train a system on a manifest."""

from __future__ import annotations

from collections.abc import Sequence

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
    from kinesics.cli.resuming import chosen_recipe
    from kinesics.engine import distributed
    from kinesics.engine.session import train_run
    from kinesics.systems.recipe import parse_recipe

    recipe, resume = chosen_recipe("train", words, parse_recipe)
    try:
        train_run(get_system(recipe.system).task_class, recipe, resume=resume)
    finally:
        distributed.stop()
    return 0
