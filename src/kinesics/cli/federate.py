"""kinesics federate: train a system across silos that exchange weights and never data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

HELP = """usage: kinesics federate SYSTEM --data MANIFEST.csv [--out RUN] [flags]
       kinesics federate --config RECIPE.yaml [flags]
       kinesics federate --resume RUN
       kinesics federate compare RUN RUN ... --out FOLDER

systems: {systems}

--federation.mode dfl     peers mix with their neighbours in an overlay (default)
--federation.mode sfl     a server averages
--federation.mode cll     all samples in one place
--silos.by column         the manifest's silo column says whose a sample is; dirichlet deals them with a skew
--network.topology gaia   where the silos are (gaia, nws, FILE); --network.overlay: {overlays}
--resume [RUN]            go on with the run in --out, or with RUN's own recipe
kinesics federate SYSTEM --help lists every flag; kinesics topology design compares overlays.
"""


def main(argv: Sequence[str]) -> int:
    """Run the verb; see `HELP`."""
    words = list(argv)
    if words[:1] == ["compare"]:
        from kinesics.cli import federate_compare

        return federate_compare.main(words[1:])
    from kinesics.federated.network import ALONE, OVERLAYS, make_network
    from kinesics.systems import SYSTEMS, get_system

    if not words or words[0] in ("-h", "--help"):
        print(HELP.format(systems=", ".join(SYSTEMS), overlays=", ".join((*OVERLAYS, ALONE))))
        return 0 if words else 2
    from kinesics.cli.resuming import chosen_recipe
    from kinesics.federated.session import federate_run

    recipe, resume = chosen_recipe("federate", words, _parse)
    run = federate_run(get_system(recipe.system).task_class, recipe, make_network, resume=resume)
    _print(run.read_json("run.json"))
    return 0


def _parse(system: str | None, words: Sequence[str]) -> Any:
    from kinesics.federated.config import FederatedRecipe, add_flags
    from kinesics.systems.recipe import parse_recipe

    return parse_recipe(system, words, FederatedRecipe, add_flags)


def _print(content: dict[str, Any]) -> None:
    from kinesics.cli.tables import print_table

    alone, judged = content["silos_alone"], content["last"]
    split = content["judged"]
    metric = alone["metric"]
    rows = [
        ["average of all silos", judged[split][metric]],
        ["silos' own models, mean", alone["mean"]],
        ["silos' own models, least", alone["least"]],
        ["silos' own models, most", alone["most"]],
    ]
    print_table(f"{metric} on the {split} split, {len(content['silos'])} silos", ["model", metric], rows)
