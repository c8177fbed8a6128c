"""Reading silos: built-in tables, files, and what is wrong with them."""

from __future__ import annotations

import builtins
from pathlib import Path

import numpy as np
import pytest

from kinesics.errors import UserError
from kinesics.federated.cities import BUILT_IN
from kinesics.federated.silos import EARTH_KM, great_circle_km, read_silos, shortest_paths

GRAPH = """graph [
  node [ id 0 label "a" ] node [ id 1 label "b" ] node [ id 2 label "c" ]
  edge [ source 0 target 1 distance 100.0 ] edge [ source 1 target 2 distance 50.0 ]
]"""
CSV = "name,latitude,longitude\nx,0,0\ny,0,90\nz,90,0\n"


def written(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_path_has_the_length_and_the_links_of_the_shortest(tmp_path: Path) -> None:
    silos = read_silos(written(tmp_path, "a.gml", GRAPH))
    assert silos.names == ("a", "b", "c") and len(silos) == 3
    assert silos.distance_km.tolist() == [[0, 100, 150], [100, 0, 50], [150, 50, 0]]
    assert silos.hops.tolist() == [[0, 1, 2], [1, 0, 1], [2, 1, 0]]
    assert silos.position is None and silos.compute_ms is None


def test_of_equal_paths_the_one_with_fewer_links() -> None:
    length = np.array([[0, 1, 2.0], [1, 0, 1], [2, 1, 0]])
    assert shortest_paths(length)[1][0, 2] == 1


def test_graphml_and_compute_times(tmp_path: Path) -> None:
    import networkx

    graph = networkx.Graph()
    graph.add_node("Tokyo", compute_ms=3.0)
    graph.add_node("Seoul", compute_ms=5.0)
    graph.add_edge("Tokyo", "Seoul", distance=1160.0)
    networkx.write_graphml(graph, tmp_path / "a.graphml")
    silos = read_silos(str(tmp_path / "a.graphml"))
    assert silos.names == ("Tokyo", "Seoul") and silos.distance_km[0, 1] == 1160
    assert silos.compute_ms is not None and silos.compute_ms.tolist() == [3, 5]
    assert silos.position is not None and silos.position[0].tolist() == [35.68, 139.65]


def test_cities_lie_on_a_sphere(tmp_path: Path) -> None:
    silos = read_silos(written(tmp_path, "a.csv", CSV))
    quarter = np.pi / 2 * EARTH_KM
    np.testing.assert_allclose(silos.distance_km, quarter * (1 - np.eye(3)), rtol=1e-12)
    assert (silos.hops == 1 - np.eye(3)).all()
    assert great_circle_km(np.array([[0.0, 0], [0, 180]]))[0, 1] == pytest.approx(np.pi * EARTH_KM)


def test_csv_with_speeds(tmp_path: Path) -> None:
    text = "name,latitude,longitude,compute_ms\nx,1,2,3\ny,4,5,6.5\n"
    silos = read_silos(written(tmp_path, "a.csv", text))
    assert silos.compute_ms is not None and silos.compute_ms.tolist() == [3, 6.5]


@pytest.mark.parametrize(("name", "file"), [("gaia", "gaia.gml"), ("nws", "amazon_us.gml")])
def test_built_in_tables_are_near_the_published_distances(name: str, file: str, shared: Path) -> None:
    built_in, published = read_silos(name), read_silos(str(shared / "data" / "topologies" / file))
    assert len(built_in) == len(published) == len(BUILT_IN[name])
    far = published.distance_km > 500
    error = np.abs(built_in.distance_km - published.distance_km)
    assert (error[far] / published.distance_km[far]).max() < 0.05
    assert error[~far].max() < 20
    assert published.position is not None, "known cities have a place on the map"


@pytest.mark.parametrize("file", ["gaia", "amazon_us"])
def test_paths_are_the_stored_ones(file: str, shared: Path) -> None:
    stored = np.load(shared / "golden" / "fadnet_topology_inputs.npz", allow_pickle=False)
    silos = read_silos(str(shared / "data" / "topologies" / f"{file}.gml"))
    assert list(silos.names) == stored[f"{file}|names"].tolist()
    np.testing.assert_allclose(silos.distance_km, stored[f"{file}|distance_km"], rtol=1e-12)
    assert (silos.hops == stored[f"{file}|hops"]).all()


BROKEN = {
    "no such table": ("gai", None, "did you mean gaia?"),
    "no such table at all": ("mars", None, "known tables: gaia, nws"),
    "missing file": ("missing.gml", None, "no such file"),
    "wrong kind of file": ("a.txt", "x", "silos come as .gml, .graphml or .csv"),
    "not GML": ("a.gml", "once upon a time", "not a readable GML file"),
    "not GraphML": ("a.graphml", "<graph", "not a readable GraphML file"),
    "not connected": (
        "a.gml",
        GRAPH.replace("source 1 target 2", "source 1 target 0").replace("graph [", "graph [ multigraph 1"),
        "not connected: no path between a and c",
    ),
    "no distance": ("a.gml", GRAPH.replace("distance 50.0", ""), "edge b - c has no distance"),
    "distance in words": ("a.gml", GRAPH.replace("50.0", '"far"'), "expected a number, got 'far'"),
    "negative distance": ("a.gml", GRAPH.replace("50.0", "-50.0"), "expected a number of 0 or more, got -50.0"),
    "one silo": ("a.csv", "name,latitude,longitude\nx,0,0\n", "at least two silos, got 1"),
    "no silos": ("a.gml", "graph [ ]", "at least two silos, got 0"),
    "a city twice": ("a.csv", CSV.replace("y,", "x,"), "'x' is listed twice"),
    "a city without a name": ("a.csv", CSV.replace("y,", ","), "line 3: the silo has no name"),
    "no column": ("a.csv", CSV.replace("latitude", "lat"), "no column latitude; it has name, lat, longitude"),
    "NaN": ("a.csv", CSV.replace("0,90", "nan,90"), "line 3: latitude: expected a number from -90 to 90, got nan"),
    "latitude": ("a.csv", CSV.replace("0,90", "91,90"), "got 91"),
    "longitude": ("a.csv", CSV.replace("0,90", "0,181"), "longitude: expected a number from -180 to 180"),
    "a short line": ("a.csv", CSV + "w,1\n", "line 5: longitude: expected a number, got None"),
    "negative speed": (
        "a.csv",
        "name,latitude,longitude,compute_ms\nx,1,2,3\ny,4,5,-1\n",
        "compute_ms: expected a number of 0 or more",
    ),
    "speed of some": ("a.gml", GRAPH.replace('label "a"', 'label "a" compute_ms 3'), "node b has no compute_ms"),
    "not text": ("a.csv", "name,latitude,longitude\n\udcff,1,2\n", "can't be read as CSV"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_input_is_named(case: str, tmp_path: Path) -> None:
    name, text, said = BROKEN[case]
    if text is not None:
        (tmp_path / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError) as caught:
        read_silos(str(tmp_path / name) if "." in name else name)
    assert said in str(caught.value), str(caught.value)


def test_without_networkx_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really = builtins.__import__

    def refusing(name: str, *rest: object, **named: object) -> object:
        if name == "networkx":
            raise ImportError(name)
        return really(name, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", refusing)
    with pytest.raises(UserError, match=r"pip install kinesics\[federated\]"):
        read_silos(written(tmp_path, "a.gml", GRAPH))
    assert len(read_silos("gaia")) == 11
