"""From the network settings of a recipe to a mixing matrix and the cost of a round."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from kinesics.errors import UserError
from kinesics.federated.config import FederatedRecipe
from kinesics.federated.mixing import mix
from kinesics.federated.overlay import (
    Overlay,
    best_ring_order,
    central_silo,
    christofides_order,
    complete,
    delta_mbst,
    minimum_spanning_tree,
    ring,
    star,
)
from kinesics.federated.search import least_cycle, soonest_consensus, trade_off
from kinesics.federated.silos import Silos, read_silos
from kinesics.federated.simulate import Network
from kinesics.federated.topology import Bool, Connectivity, connect


def _soonest(network: Connectivity, seed: int) -> Bool:
    quick = least_cycle(network, seed=seed)
    return soonest_consensus(network, trade_off(network, quick), seed=seed)


def _two_way_ring(network: Connectivity, seed: int) -> Bool:
    one_way = ring(best_ring_order(network, seed)[0])
    return one_way | one_way.T


OVERLAYS: dict[str, Callable[[Connectivity, int], Bool]] = {
    "christofides-ring": lambda network, seed: ring(christofides_order(network)),
    "best-ring": lambda network, seed: ring(best_ring_order(network, seed)[0]),
    "two-way-ring": _two_way_ring,
    "mst": lambda network, seed: minimum_spanning_tree(network),
    "delta-mbst": lambda network, seed: delta_mbst(network)[0],
    "complete": lambda network, seed: complete(len(network)),
    "least-cycle": lambda network, seed: least_cycle(network, seed=seed),
    "soonest-consensus": _soonest,
}
"""Overlays for peers by name, as `kinesics topology design` lists them: (network, seed) -> who sends to whom."""

ALONE = "none"
"""The overlay without links: every silo trains by itself."""

PROBE_BITS, PROBE_MS = 1e7, 5.0
"""Message and local step that overlays are designed for where the recipe does not say how long a step takes."""


def make_network(recipe: FederatedRecipe, named: Sequence[str] | None) -> tuple[list[str], Network]:
    """The silos of a recipe, in the network's order, and what a round costs among them.

    The overlay is designed for the messages and local steps of `PROBE_BITS` and, where the recipe does not give it,
    `PROBE_MS`; what a round costs is worked out with the real ones.

    Args:
        recipe: its `network`, `silos` and `federation` parts.
        named: silos that the data name; None where samples are dealt.

    Returns:
        Silo names, and the network of the same order.

    Raises:
        UserError: unknown overlay or table, or more silos in the data than in the topology.
    """
    settings, steps = recipe.network, recipe.federation.local_steps
    if settings.overlay not in (*OVERLAYS, ALONE):
        raise UserError(f"--network.overlay must be one of {', '.join(OVERLAYS)} or {ALONE}; got {settings.overlay!r}")
    places, names = _placed(read_silos(settings.topology), settings.topology, named, recipe.silos.n)

    def connected(bits: float, step_ms: float) -> Connectivity:
        step = settings.compute_ms or step_ms
        return connect(places, bits, step, settings.access_bps, settings.core_bps, steps)

    if recipe.federation.mode == "dfl" and settings.overlay == ALONE:
        eye = torch.eye(len(places), dtype=torch.float64)
        return names, Network(eye, lambda bits, step_ms: steps * (settings.compute_ms or step_ms))
    design = connected(PROBE_BITS, PROBE_MS)
    if recipe.federation.mode == "sfl":
        hub = central_silo(design)
        overlay = Overlay("star", star(len(places), hub), hub)
        matrix = np.full((len(places), len(places)), 1 / len(places))
    else:
        overlay = Overlay(settings.overlay, OVERLAYS[settings.overlay](design, recipe.seed))
        matrix = mix(overlay.adjacency).matrix
    known: dict[tuple[int, float], float] = {}

    def round_ms(bits: int, step_ms: float) -> float:
        key = (bits, float(f"{step_ms:.1e}"))  # two digits of a measured time are enough, and are looked up
        if key not in known:
            known[key] = overlay.cycle_ms(connected(*key))
        return known[key]

    return names, Network(torch.from_numpy(np.ascontiguousarray(matrix)), round_ms)


def _placed(places: Silos, topology: str, named: Sequence[str] | None, n: int) -> tuple[Silos, list[str]]:
    """The part of a topology that is used, and the names of its silos: the data's own where they name any."""
    if named is not None and set(named) <= set(places.names):
        rows = [places.names.index(name) for name in places.names if name in set(named)]
        return _part(places, rows), [places.names[row] for row in rows]
    wanted = len(named) if named is not None else n or len(places)
    if wanted > len(places):
        raise UserError(
            f"{wanted} silos in the data, but {topology} has {len(places)} places",
            hint="give a --network.topology file with at least as many, such as a CSV of name,latitude,longitude",
        )
    chosen = _part(places, list(range(wanted)))
    return chosen, list(named) if named is not None else list(chosen.names)


def _part(places: Silos, rows: list[int]) -> Silos:
    if len(rows) == len(places):
        return places
    grid = np.ix_(rows, rows)
    position = None if places.position is None else places.position[rows]
    compute = None if places.compute_ms is None else places.compute_ms[rows]
    return Silos(
        tuple(places.names[row] for row in rows), places.distance_km[grid], places.hops[grid], position, compute
    )
