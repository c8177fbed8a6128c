"""From a recipe's network settings to matrices and milliseconds."""

from __future__ import annotations

import numpy as np
import pytest

from kinesics.errors import UserError
from kinesics.federated.config import FederatedRecipe, FederationConfig, NetworkConfig, PartitionConfig
from kinesics.federated.network import OVERLAYS, make_network
from kinesics.federated.overlay import central_silo, christofides_order, ring, server_cycle_ms
from kinesics.federated.silos import read_silos
from kinesics.federated.topology import connect

CITIES = "name,latitude,longitude\nOslo,59.9,10.8\nLyon,45.8,4.8\nRome,41.9,12.5\nBonn,50.7,7.1\n"


def recipe(silos=None, mode="dfl", **network):
    return FederatedRecipe(
        system="ldlva", data="x.csv", task=None, federation=FederationConfig(mode=mode),
        silos=PartitionConfig(n=silos or 0), network=NetworkConfig(compute_ms=4.9, **network),
    )  # fmt: skip


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_overlay_mixes_doubly_stochastically(tmp_path, overlay):
    (tmp_path / "cities.csv").write_text(CITIES)
    names, network = make_network(recipe(topology=str(tmp_path / "cities.csv"), overlay=overlay), None)
    assert names == ["Oslo", "Lyon", "Rome", "Bonn"]
    a = network.matrix.numpy()
    assert a.sum(0) == pytest.approx(np.ones(4)) and a.sum(1) == pytest.approx(np.ones(4)) and a.min() >= -1e-12
    assert np.linalg.matrix_power(a, 400) == pytest.approx(np.full((4, 4), 0.25), abs=1e-3)


def test_a_round_costs_what_the_topology_says():
    names, network = make_network(recipe(topology="gaia"), None)
    places = connect(read_silos("gaia"), 10_091_936, 4.9, 1e10, 1e9)
    expected = places.cycle_ms(ring(christofides_order(places)))
    assert network.round_ms(10_091_936, 123.0) == pytest.approx(expected)  # the recipe's 4.9 ms go first
    assert network.round_ms(5_000_000, 4.9) < expected
    _, server = make_network(recipe(topology="gaia", mode="sfl"), None)
    assert server.round_ms(10_091_936, 4.9) == pytest.approx(server_cycle_ms(places, central_silo(places)))
    assert len(names) == 11


def test_silos_that_the_data_name_after_places_lie_there_and_others_are_placed_in_turn():
    names, network = make_network(recipe(topology="gaia"), ["Tokyo", "Dublin", "Oregon"])
    gaia = read_silos("gaia").names
    assert names == [name for name in gaia if name in ("Tokyo", "Dublin", "Oregon")]
    assert network.matrix.shape == (3, 3)
    names, _ = make_network(recipe(topology="gaia"), ["clinic-1", "clinic-2"])
    assert names == ["clinic-1", "clinic-2"]
    assert len(make_network(recipe(4, topology="gaia"), None)[0]) == 4


def test_what_cannot_be():
    with pytest.raises(UserError, match="overlay"):
        make_network(recipe(topology="gaia", overlay="torus"), None)
    with pytest.raises(UserError, match="12 silos"):
        make_network(recipe(topology="gaia"), [f"s{i}" for i in range(12)])
    with pytest.raises(UserError, match="gaya"):
        make_network(recipe(topology="gaya"), None)


def test_without_links_nothing_is_mixed_and_nothing_sent():
    names, network = make_network(recipe(topology="gaia", overlay="none"), None)
    assert np.array_equal(network.matrix.numpy(), np.eye(len(names)))
    assert network.round_ms(10_091_936, 123.0) == 4.9
