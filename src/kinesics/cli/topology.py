"""kinesics topology: design who talks to whom in a federation (design)."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from kinesics.cli.arguments import Parser


def main(argv: Sequence[str]) -> int:
    """Run `design`.

    Returns:
        0 done.

    Raises:
        UserError: bad input; the command line turns it into exit code 2.
    """
    parser = _parser()
    given = vars(parser.parse_args(list(argv)))
    given.pop("verb")
    return _design(**given)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="kinesics topology", description=__doc__)
    parser.add_argument("verb", choices=("design",), help="compare overlays: round time, mixing, time to consensus")
    parser.add_argument(
        "--silos",
        required=True,
        metavar="WHERE",
        help="gaia (11), nws (22); a .gml or .graphml with `distance` (km) on edges; a .csv of name,latitude,longitude",
    )
    parser.add_argument("--model-bits", type=float, required=True, metavar="N", help="size of a message in bits")
    parser.add_argument("--compute-ms", type=float, metavar="T", help="one local step; not needed if the file says it")
    parser.add_argument("--access-bps", type=float, default=1e10, metavar="A", help="bit/s of a silo's line (1e10)")
    parser.add_argument("--download-bps", type=float, metavar="D", help="bit/s towards a silo, if not the same")
    parser.add_argument("--core-bps", type=float, default=1e9, metavar="B", help="bit/s of a link in the core (1e9)")
    parser.add_argument("--local-steps", type=int, default=1, metavar="S", help="local steps in a round (1)")
    parser.add_argument("--max-degree", type=int, metavar="K", help="most silos one sends to or hears, in searches")
    parser.add_argument(
        "--mixing",
        choices=("doubly-stochastic", "local"),
        default="doubly-stochastic",
        help="weights made centrally: FDLA, Sinkhorn (default); or by each silo: Metropolis, push-sum",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the searches (0)")
    parser.add_argument("--search-steps", type=int, default=0, metavar="N", help="moves to try (600 a silo)")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="where tables, matrices and figures go")
    return parser


def _design(
    silos: str,
    model_bits: float,
    compute_ms: float | None,
    access_bps: float,
    download_bps: float | None,
    core_bps: float,
    local_steps: int,
    max_degree: int | None,
    mixing: str,
    seed: int,
    search_steps: int,
    out: str,
) -> int:
    from pathlib import Path

    from kinesics.cli.tables import print_table
    from kinesics.federated.design import design, write_design
    from kinesics.federated.figures import overlay_maps, trade_off_chart
    from kinesics.federated.silos import read_silos
    from kinesics.federated.topology import connect

    read = read_silos(silos)
    network = connect(read, model_bits, compute_ms, access_bps, core_bps, local_steps, download_bps)
    settings = {
        "silos": silos,
        "model_bits": model_bits,
        "compute_ms": compute_ms,
        "access_bps": access_bps,
        "download_bps": download_bps,
        "core_bps": core_bps,
        "local_steps": local_steps,
        "mixing": mixing,
    }
    found = design(network, max_degree, mixing == "doubly-stochastic", seed, search_steps, **settings)
    folder = Path(out)
    write_design(found, folder)
    for name, figure in (("map", overlay_maps(found)), ("tradeoff", trade_off_chart(found))):
        for kind in ("png", "svg"):
            figure.savefig(folder / f"{name}.{kind}", dpi=110)
    rows = [
        [
            judged.overlay.name,
            int(judged.overlay.adjacency.sum()),
            judged.overlay.max_degree,
            f"{judged.cycle_ms:,.2f}",
            judged.row()["mixing"],
            judged.rate,
            judged.rounds,
            f"{judged.consensus_ms:,.0f}",
        ]
        for judged in found.overlays
    ]
    columns = ["overlay", "links", "degree", "ms a round", "mixing", "rate", "rounds to 1 %", "ms to 1 %"]
    print_table(f"{silos}: {len(read)} silos", columns, rows)
    quick = min(found.overlays, key=lambda judged: judged.cycle_ms)
    soon = min(found.overlays, key=lambda judged: judged.consensus_ms)
    print(f"shortest round: {quick.overlay.name} ({quick.cycle_ms:,.2f} ms)")
    print(f"soonest 1 % consensus: {soon.overlay.name} ({soon.consensus_ms:,.0f} ms, modelled)")
    print(f"written: {folder}/overlays.csv, links.csv, overlays.json, tradeoff.csv, map.png, tradeoff.png (and .svg)")
    return 0
