"""Round time, mixing and modelled time to 1 % consensus of every overlay, beside the published figures.

    python benchmarks/topologies.py [--shared FOLDER] [--networks gaia nws] [--access 1e10 1e9 1e8] [--search-steps 0]

Silos of Gaia (11) and NWS (22) from the published GML files under FOLDER/data/topologies, or from the built-in tables
where these are not at hand; a model of 10,091,936 bit, 4.9 ms a local step, core links of 1 Gbit/s, access links of 10
Gbit/s as published, and of 1 Gbit/s and 100 Mbit/s. `published_ms` is the reference's cycle time (only for 10 Gbit/s).
The committed table was made with `--search-steps 0` for 10 Gbit/s, 1000 (Gaia) and 300 (NWS) for the slower lines.
Rows of networks and access rates that are not asked for stay as they are. Results: benchmarks/topologies.csv.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from pathlib import Path
from typing import Any

from kinesics.federated.design import design
from kinesics.federated.silos import read_silos
from kinesics.federated.topology import connect

HERE = Path(__file__).resolve().parent
FILES = {"gaia": "gaia", "nws": "amazon_us"}
PUBLISHED = {
    "star": "STAR_server",
    "MST": "MST",
    "delta-MBST": "MCT_delta_mbst",
    "Christofides ring": "RING_christofides",
    "best ring": "RING_optimal",
    "least cycle": "DIGRAPH_annealed",
}
MODEL_BITS = 10_091_936
COMPUTE_MS = 4.9


def rows_of(network: str, access: float, folder: Path, steps: int) -> list[dict[str, Any]]:
    """One row an overlay, and one a point of the trade-off curve."""
    file = folder / f"{FILES[network]}.gml"
    silos = read_silos(str(file) if file.is_file() else network)
    started = time.perf_counter()
    found = design(connect(silos, MODEL_BITS, COMPUTE_MS, access, 1e9), search_steps=steps)
    known: dict[str, Any] = {}
    if file.is_file() and access == 1e10:
        known = json.loads((folder / "cycle_times.json").read_text())["results"][f"{FILES[network]}/driving_gazebo"]
    rows = []
    for judged in [*found.overlays, *found.trade_off]:
        row = judged.row()
        rows.append(
            {
                "network": network,
                "source": "GML" if file.is_file() else "built-in",
                "access_bps": f"{access:g}",
                "overlay": row["overlay"],
                "links": row["links"],
                "max_degree": row["max_degree"],
                "cycle_ms": f"{row['cycle_ms']:.4f}",
                "published_ms": f"{known[PUBLISHED[row['overlay']]]:.4f}"
                if PUBLISHED.get(row["overlay"]) in known
                else "",
                "mixing": row["mixing"],
                "rate": f"{row['rate']:.4f}",
                "rounds": row["rounds"],
                "consensus_ms": f"{row['consensus_ms']:.1f}",
                "asymptotic_ms": f"{row['asymptotic_ms']:.1f}",
                "local_rounds": row["local_rounds"],
            }
        )
    print(f"{network}, access {access:g}: {time.perf_counter() - started:.0f} s", flush=True)
    return rows


def main() -> None:
    """Make the asked rows anew and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=HERE.parent.parent / "shared")
    parser.add_argument("--networks", nargs="+", choices=list(FILES), default=list(FILES))
    parser.add_argument("--access", nargs="+", type=float, default=[1e10, 1e9, 1e8])
    parser.add_argument("--search-steps", type=int, default=0)
    parser.add_argument("--out", type=Path, default=HERE / "topologies.csv")
    given = parser.parse_args()
    kept: list[dict[str, Any]] = []
    if given.out.is_file():
        with given.out.open(encoding="utf-8", newline="") as stream:
            kept = list(csv.DictReader(stream))
    for network in given.networks:
        for access in given.access:
            kept = [row for row in kept if (row["network"], float(row["access_bps"])) != (network, access)]
            kept += rows_of(network, access, given.shared / "data" / "topologies", given.search_steps)
            ordered = sorted(kept, key=lambda row: (row["network"], -float(row["access_bps"])))
            with given.out.open("w", encoding="utf-8", newline="") as stream:
                writer = csv.DictWriter(stream, list(ordered[0]), lineterminator="\n")
                writer.writeheader()
                writer.writerows(ordered)


if __name__ == "__main__":
    main()
