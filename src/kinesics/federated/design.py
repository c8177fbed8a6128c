"""All overlays of a network side by side, and what is written of them."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kinesics.errors import UserError
from kinesics.federated.mixing import TOLERANCE, Mixing, asymptotic_rounds, mix
from kinesics.federated.overlay import (
    Overlay,
    best_ring_order,
    central_silo,
    christofides_order,
    complete,
    delta_mbst,
    fastest_hub,
    minimum_spanning_tree,
    ring,
    star,
)
from kinesics.federated.search import least_cycle, soonest_consensus, trade_off
from kinesics.federated.topology import Connectivity
from kinesics.files import atomic_write

SERVER = "exact average at the server"


@dataclass(frozen=True)
class Judged:
    """An overlay with its figures.

    Attributes:
        overlay: who sends to whom.
        mixing: with which weights; None for an overlay with a server, which averages exactly in one round.
        cycle_ms: milliseconds a round takes.
        rate: second largest eigenvalue modulus.
        rounds: until 1 % of any disagreement is left, from the worst start.
        local_rounds: the same with weights that silos make themselves (Metropolis, push-sum).
    """

    overlay: Overlay
    mixing: Mixing | None
    cycle_ms: float
    rate: float
    rounds: int
    local_rounds: int

    @property
    def consensus_ms(self) -> float:
        """Modelled time to 1 % consensus: cycle time times rounds."""
        return self.cycle_ms * self.rounds

    @property
    def asymptotic_ms(self) -> float:
        """The same by the rate alone: cycle time times log 0.01 / log rate, at least one round."""
        return self.cycle_ms * asymptotic_rounds(self.rate)

    def row(self) -> dict[str, Any]:
        """The figures by name, as in `overlays.csv`."""
        return {
            "overlay": self.overlay.name,
            "about": self.overlay.about,
            "links": int(self.overlay.adjacency.sum()),
            "max_degree": self.overlay.max_degree,
            "cycle_ms": self.cycle_ms,
            "mixing": SERVER if self.mixing is None else self.mixing.name,
            "rate": self.rate,
            "rounds": self.rounds,
            "consensus_ms": self.consensus_ms,
            "asymptotic_ms": self.asymptotic_ms,
            "local_rounds": self.local_rounds,
        }


@dataclass(frozen=True)
class Design:
    """What `design` found.

    Attributes:
        network: what links cost.
        overlays: every overlay with its figures; the fastest and the soonest are found by `min` over them.
        trade_off: searched overlays from few links to many.
        settings: the arguments, for the record.
    """

    network: Connectivity
    overlays: list[Judged]
    trade_off: list[Judged]
    settings: dict[str, Any]


def judge(network: Connectivity, overlay: Overlay, central: bool = True) -> Judged:
    """Cycle time, mixing rate and rounds to consensus of an overlay.

    Args:
        network: what links cost.
        overlay: strongly connected.
        central: mix with weights made centrally (FDLA, doubly stochastic), else with those that silos can make
            themselves (Metropolis, push-sum); see `mixing.py`.
    """
    cycle = overlay.cycle_ms(network)
    if overlay.hub is not None:
        return Judged(overlay, None, cycle, 0.0, 1, 1)
    local = mix(overlay.adjacency, central=False)
    mixing = mix(overlay.adjacency) if central else local
    return Judged(overlay, mixing, cycle, mixing.rate, mixing.rounds(), local.rounds())


def design(
    network: Connectivity,
    max_degree: int | None = None,
    central: bool = True,
    seed: int = 0,
    search_steps: int = 0,
    **settings: Any,
) -> Design:
    """Make every kind of overlay and judge it.

    Args:
        network: what links cost.
        max_degree: the most silos one may send to, and hear, in the searched overlays.
        central: see `judge`.
        seed: of the searches.
        search_steps: moves of the search for cycle time; 0 for 600 a silo.
        settings: kept for the record.

    Raises:
        UserError: `max_degree`, `search_steps` or `seed` make no sense.
    """
    n = len(network)
    if max_degree is not None and max_degree < 1:
        raise UserError(f"--max-degree must be 1 or more, got {max_degree}")
    if search_steps < 0:
        raise UserError(f"--search-steps must be 0 (600 a silo) or more, got {search_steps}")
    if seed < 0:
        raise UserError(f"--seed must be 0 or more, got {seed}")
    names = network.silos.names
    hub, other_hub = central_silo(network), fastest_hub(network)
    best, exact = best_ring_order(network, seed)
    tree, delta = delta_mbst(network)
    found = [Overlay("star", star(n, hub), hub, f"server at {names[hub]}, the most central")]
    if other_hub != hub:
        found.append(Overlay("star, best server", star(n, other_hub), other_hub, f"server at {names[other_hub]}"))
    found += [
        Overlay("MST", minimum_spanning_tree(network), about="minimum spanning tree"),
        Overlay("delta-MBST", tree, about=f"tree of degree at most {delta}"),
        Overlay("Christofides ring", ring(christofides_order(network)), about="the text's"),
        Overlay("best ring", ring(best), about="exact" if exact else "2-opt, Or-opt, kicks"),
        Overlay("two-way ring", ring(best) | ring(best).T, about="the best ring, both ways"),
        Overlay("complete", complete(n), about="every link"),
    ]
    quick = least_cycle(network, max_degree, seed, search_steps)
    found.append(Overlay("least cycle", quick, about="searched for cycle time"))
    curve = trade_off(network, quick, max_degree)
    soon = soonest_consensus(network, curve, max_degree, seed)
    found.append(Overlay("soonest consensus", soon, about="searched for time to 1 % consensus"))
    return Design(
        network=network,
        overlays=[judge(network, overlay, central) for overlay in found],
        trade_off=[judge(network, Overlay(f"budget {k}", one), central) for k, one in enumerate(curve, start=1)],
        settings={"max_degree": max_degree, "seed": seed, "search_steps": search_steps, **settings},
    )


def write_design(found: Design, folder: Path) -> None:
    """Write `overlays.csv` (figures), `links.csv`, `overlays.json` (all, with matrices), `tradeoff.csv`.

    Args:
        found: what to write.
        folder: made when missing.

    Raises:
        UserError: the folder can't be written to.
    """
    names = found.network.silos.names
    _write_csv(folder / "overlays.csv", [judged.row() for judged in found.overlays])
    _write_csv(folder / "tradeoff.csv", [judged.row() for judged in found.trade_off])
    links = []
    for judged in found.overlays:
        delay = found.network.delay(judged.overlay.adjacency)
        for i, j in judged.overlay.links:
            weight = "" if judged.mixing is None else float(judged.mixing.matrix[j, i])
            links.append(
                {
                    "overlay": judged.overlay.name,
                    "sender": names[i],
                    "receiver": names[j],
                    "delay_ms": float(delay[i, j]),
                    "weight": weight,
                }
            )
    _write_csv(folder / "links.csv", links)
    content = {
        "silos": list(names),
        "settings": found.settings,
        "consensus": f"disagreement shrunk to {TOLERANCE:g} of any start's",
        "overlays": [
            {
                **judged.row(),
                "server": None if judged.overlay.hub is None else names[judged.overlay.hub],
                "links": [[names[i], names[j]] for i, j in judged.overlay.links],
                "push_sum": judged.mixing is not None and judged.mixing.push_sum,
                "matrix": None if judged.mixing is None else judged.mixing.matrix.tolist(),
            }
            for judged in found.overlays
        ],
    }
    with atomic_write(folder / "overlays.json", "w") as stream:
        json.dump(content, stream, indent=1, ensure_ascii=False)
        stream.write("\n")


def _write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    with atomic_write(path, "w") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
