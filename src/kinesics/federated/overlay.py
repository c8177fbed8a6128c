"""Overlays: which of the possible links are used.

An overlay is an (N, N) boolean matrix, True where silo i sends to silo j. Named here: star, minimum spanning tree,
delta-MBST, the text's Christofides ring, the best ring, the complete graph; searched ones are in `search.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinesics.federated.graphs import require_networkx
from kinesics.federated.rings import best_ring
from kinesics.federated.topology import Bool, Connectivity


@dataclass(frozen=True)
class Overlay:
    """Who sends to whom.

    Attributes:
        name: as tables and figures show it.
        adjacency: (N, N) True where i sends to j, no self-links.
        hub: the silo that is the server, for an overlay with a server; else None.
        about: how it was made, in a few words.
    """

    name: str
    adjacency: Bool
    hub: int | None = None
    about: str = ""

    @property
    def directed(self) -> bool:
        """Whether some link goes one way only."""
        return not np.array_equal(self.adjacency, self.adjacency.T)

    @property
    def links(self) -> list[tuple[int, int]]:
        """Sender and receiver of each link."""
        return [(int(i), int(j)) for i, j in np.argwhere(self.adjacency)]

    @property
    def max_degree(self) -> int:
        """The most silos that one sends to or hears."""
        return int(max(self.adjacency.sum(axis=0).max(), self.adjacency.sum(axis=1).max()))

    def cycle_ms(self, network: Connectivity) -> float:
        """Milliseconds a round takes: the maximum cycle mean; with a server, up and down one after the other."""
        if self.hub is None:
            return network.cycle_ms(self.adjacency)
        return server_cycle_ms(network, self.hub)


def server_cycle_ms(network: Connectivity, hub: int) -> float:
    """A round of server-based averaging: every silo computes and sends to the hub, which answers all.

    With equal computation T everywhere this is 2 (c - T) + T, where c is the cycle time of the two-way star.

    Args:
        network: what links cost.
        hub: number of the server's silo.
    """
    sending = network.delay(star(len(network), hub)) - network.compute[:, None]
    leaves = np.arange(len(network)) != hub
    there_and_back = network.compute[leaves] + sending[leaves, hub] + sending[hub, leaves]
    return float(max(there_and_back.max(), network.compute[hub]))


def star(n: int, hub: int) -> Bool:
    """(N, N) links between one silo and all others, both ways."""
    adjacency = np.zeros((n, n), dtype=bool)
    adjacency[hub] = adjacency[:, hub] = True
    adjacency[hub, hub] = False
    return adjacency


def complete(n: int) -> Bool:
    """(N, N) every link."""
    return np.asarray(~np.eye(n, dtype=bool))


def ring(order: list[int]) -> Bool:
    """(N, N) each silo sends to the next of the order, the last to the first."""
    adjacency = np.zeros((len(order), len(order)), dtype=bool)
    adjacency[order, order[1:] + order[:1]] = True
    return adjacency


def central_silo(network: Connectivity) -> int:
    """The silo of highest load centrality, by latency, over the direct links; of equal ones the first listed.

    That is the released code's choice of a server. Where every two silos have a direct link nothing passes through a
    third, all loads are zero, and it is the first silo.
    """
    networkx = require_networkx()
    graph = networkx.Graph()
    graph.add_nodes_from(range(len(network)))
    for i, j in np.argwhere(np.triu(network.silos.hops == 1)):
        graph.add_edge(int(i), int(j), latency=network.latency[i, j])
    load = networkx.load_centrality(graph, weight="latency")
    return max(range(len(network)), key=lambda silo: (load[silo], -silo))


def fastest_hub(network: Connectivity) -> int:
    """The silo whose star, with it as the server, has the shortest round."""
    return min(range(len(network)), key=lambda hub: server_cycle_ms(network, hub))


def minimum_spanning_tree(network: Connectivity) -> Bool:
    """(N, N) the tree of least total delay, links used both ways (arXiv 2010.12229, "MST")."""
    return delta_prim(network, len(network), 0)


def delta_prim(network: Connectivity, delta: int, start: int) -> Bool:
    """A spanning tree grown by the cheapest link to a silo not yet in it, from a silo with degree below `delta`.

    With `delta` >= N - 1 this is Prim's minimum spanning tree.

    Args:
        network: what links cost; a link counts with the mean of its two directions.
        delta: the most links a silo may have, at least 2.
        start: the silo to grow from.
    """
    n = len(network)
    cost = (network.single() + network.single().T) / 2
    adjacency = np.zeros((n, n), dtype=bool)
    inside = np.zeros(n, dtype=bool)
    inside[start] = True
    for _ in range(n - 1):
        usable = (inside & (adjacency.sum(axis=1) < delta))[:, None] & ~inside[None, :]
        i, j = divmod(int(np.where(usable, cost, np.inf).argmin()), n)
        adjacency[i, j] = adjacency[j, i] = inside[j] = True
    return adjacency


def delta_mbst(network: Connectivity) -> tuple[Bool, int]:
    """The fastest of the degree-bounded trees, over all bounds and all starts (arXiv 2010.12229, algorithm 1).

    A silo that shares its access link among many is slow, so under slow access a tree of small degree beats the
    minimum spanning tree. Bound 2 gives paths.

    Returns:
        (N, N) the tree, both ways, and the bound that gave it; of equally fast trees that of the largest bound tried
        first from below.
    """
    n = len(network)
    found: list[tuple[Bool, int]] = []
    for delta in range(2, max(n, 3)):
        trees = [delta_prim(network, delta, start) for start in range(n)]
        found += [(tree, delta) for tree in trees]
        if all(tree.sum(axis=1).max() < delta for tree in trees):
            break  # the bound binds nowhere, nor will a larger one
    return min(found, key=lambda tree: (round(network.cycle_ms(tree[0]), 9), tree[1]))


def christofides_order(network: Connectivity) -> list[int]:
    """The text's ring: a tour at most 1.5 times as long as the shortest (N. Christofides, 1976).

    Minimum spanning tree, least perfect matching of its silos of odd degree, Eulerian circuit, short cuts. Circuits
    differ, and so do their short cuts: as in the released code, this one starts at the first silo, and links are handed
    to `networkx.eulerian_circuit` in the order of the silos, the tree's before the matching's.
    """
    networkx = require_networkx()
    n = len(network)
    if n < 4:
        return list(range(n))
    cost = (network.single() + network.single().T) / 2
    graph = networkx.Graph()
    graph.add_weighted_edges_from((i, j, float(cost[i, j])) for i in range(n) for j in range(i + 1, n))
    tree = networkx.minimum_spanning_tree(graph)
    odd = [silo for silo in range(n) if tree.degree[silo] % 2]
    joined = networkx.MultiGraph()
    joined.add_nodes_from(range(n))  # their order decides, too
    for links in (tree.edges, networkx.min_weight_matching(graph.subgraph(odd))):
        joined.add_edges_from(sorted((min(link), max(link)) for link in links))
    circuit = networkx.eulerian_circuit(joined, source=0)
    return list(dict.fromkeys(int(silo) for silo, _ in circuit))


def best_ring_order(network: Connectivity, seed: int = 0) -> tuple[list[int], bool]:
    """The fastest ring, and whether it is proven to be so (see `rings.best_ring`)."""
    return best_ring((network.single() + network.single().T) / 2, seed=seed)
