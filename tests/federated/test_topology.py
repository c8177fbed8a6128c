"""Delays by hand, and the published cycle times."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinesics.errors import UserError
from kinesics.federated.overlay import (
    best_ring_order,
    central_silo,
    christofides_order,
    complete,
    delta_mbst,
    minimum_spanning_tree,
    ring,
    server_cycle_ms,
    star,
)
from kinesics.federated.silos import from_cities, read_silos
from kinesics.federated.topology import Connectivity, connect

EXPERIMENTS = {"driving_gazebo": 4.9, "driving_carla": 7.2, "driving_udacity": 0.66}
FILES = {"gaia": "gaia", "amazon_us": "nws"}


def network(source: str, compute_ms: float, access_bps: float = 1e10) -> Connectivity:
    return connect(read_silos(source), 10_091_936, compute_ms, access_bps, 1e9)


def links(names: tuple[str, ...], pairs: list[list[str]], two_way: bool) -> np.ndarray:
    adjacency = np.zeros((len(names), len(names)), dtype=bool)
    for a, b in pairs:
        adjacency[names.index(a), names.index(b)] = True
    return adjacency | adjacency.T if two_way else adjacency


def test_delays_by_hand() -> None:
    silos = from_cities(["a", "b", "c"], np.array([[0.0, 0], [0, 10], [0, 20]]), np.array([1.0, 2.0, 3.0]))
    made = connect(silos, 1e6, None, 1e8, 1e9, local_steps=2, download_bps=5e7)
    assert (made.up, made.down) == (10, 20)
    adjacency = np.array([[0, 1, 1], [1, 0, 0], [1, 0, 0]], dtype=bool)
    delay = made.delay(adjacency)
    km = silos.distance_km
    assert delay[0, 1] == pytest.approx(2 * 1 + 0.0085 * km[0, 1] + 4 + max(2 * 10, 1 * 20, 1))
    assert delay[2, 0] == pytest.approx(2 * 3 + 0.0085 * km[2, 0] + 4 + max(1 * 10, 2 * 20, 1))
    assert np.diag(delay).tolist() == [2, 4, 6] and delay[1, 2] == -np.inf
    assert made.cycle_ms(adjacency) == pytest.approx((delay[0, 2] + delay[2, 0]) / 2)


def test_a_slow_silo_waits_for_itself() -> None:
    silos = from_cities(["a", "b", "c"], np.array([[0.0, 0], [0, 0.1], [0, 0.2]]), np.array([1.0, 1.0, 1000.0]))
    assert connect(silos, 1.0, None, 1e9, 1e9).cycle_ms(ring([0, 1, 2])) == 1000


@pytest.mark.parametrize("experiment", EXPERIMENTS)
@pytest.mark.parametrize("file", FILES)
def test_published_cycle_times(file: str, experiment: str, shared: Path) -> None:
    folder = shared / "data" / "topologies"
    known: dict[str, Any] = json.loads((folder / "cycle_times.json").read_text())["results"][f"{file}/{experiment}"]
    made = network(str(folder / f"{file}.gml"), EXPERIMENTS[experiment])
    names = made.silos.names
    hub = central_silo(made)
    assert names[hub] == known["STAR_hub"]
    own = {
        "MST": made.cycle_ms(minimum_spanning_tree(made)),
        "MCT_delta_mbst": made.cycle_ms(delta_mbst(made)[0]),
        "STAR_server": server_cycle_ms(made, hub),
        "RING_christofides": made.cycle_ms(ring(christofides_order(made))),
        "RING_optimal": made.cycle_ms(ring(best_ring_order(made)[0])),
    }
    for name, value in own.items():
        assert value == pytest.approx(known[name], rel=1e-9), name
    assert [names[silo] for silo in christofides_order(made)] == known["RING_christofides_order"]
    free = links(names, known["DIGRAPH_edges"], two_way=False)
    assert made.cycle_ms(free) == pytest.approx(known["DIGRAPH_annealed"], rel=1e-9)


@pytest.mark.parametrize("file", FILES)
def test_stored_overlays_have_the_stored_cycle_times(file: str, shared: Path) -> None:
    known = json.loads((shared / "golden" / "fadnet_topology.json").read_text())["results"][file]
    made = network(str(shared / "data" / "topologies" / f"{file}.gml"), 4.9)
    names = made.silos.names
    for key, edges in (("MST", "MST_edges"), ("MCT_delta_mbst", "MCT_edges")):
        assert made.cycle_ms(links(names, known[edges], two_way=True)) == pytest.approx(known[key], abs=1e-6)
    assert made.cycle_ms(complete(len(made))) == pytest.approx(known["COMPLETE"], abs=1e-6)
    one_way = made.cycle_ms(star(len(made), central_silo(made)))
    assert one_way == pytest.approx(known["STAR_one_way_cycle"], abs=1e-6)
    best = made.cycle_ms(ring(best_ring_order(made)[0]))
    assert known["RING_lower_bound_1tree"] - 1e-6 <= best <= known["RING_best_found"] + 1e-6


@pytest.mark.parametrize("experiment", EXPERIMENTS)
@pytest.mark.parametrize("file", FILES)
def test_built_in_tables_come_close(file: str, experiment: str, shared: Path) -> None:
    text = (shared / "data" / "topologies" / "cycle_times.json").read_text()
    known = json.loads(text)["results"][f"{file}/{experiment}"]
    made = network(FILES[file], EXPERIMENTS[experiment])
    own = {
        "MST": made.cycle_ms(minimum_spanning_tree(made)),
        "STAR_server": server_cycle_ms(made, central_silo(made)),
        "RING_christofides": made.cycle_ms(ring(christofides_order(made))),
        "RING_optimal": made.cycle_ms(ring(best_ring_order(made)[0])),
    }
    for name, value in own.items():
        # Gaia's three cities in the United States make another tree, and so another circuit to cut short
        assert value == pytest.approx(known[name], rel=0.03), name


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"model_bits": 0}, "--model-bits must be a positive number, got 0"),
        ({"model_bits": float("nan")}, "--model-bits must be a positive number, got nan"),
        ({"access_bps": -1}, "--access-bps must be a positive number, got -1"),
        ({"core_bps": float("inf")}, "--core-bps must be a positive number, got inf"),
        ({"download_bps": 0}, "--download-bps must be a positive number"),
        ({"compute_ms": -0.5}, "--compute-ms must be zero or a positive number, got -0.5"),
        ({"compute_ms": None}, "--compute-ms is missing"),
        ({"local_steps": 0}, "--local-steps must be 1 or more, got 0"),
    ],
)
def test_numbers_that_make_no_sense(changed: dict[str, Any], said: str) -> None:
    given = {"model_bits": 1e6, "compute_ms": 1.0, "access_bps": 1e9, "core_bps": 1e9, **changed}
    with pytest.raises(UserError) as caught:
        connect(read_silos("gaia"), **given)
    assert said in str(caught.value)
