"""The silos and how far apart they are: built-in tables, GML, GraphML, or a CSV of cities."""

from __future__ import annotations

import csv
import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinesics.errors import UserError
from kinesics.federated.cities import BUILT_IN, position_of
from kinesics.federated.graphs import require_networkx

Float = NDArray[np.float64]
Int = NDArray[np.int64]

EARTH_KM = 6371.0088
"""Mean radius of the earth (IUGG)."""

_GRAPHS = (".gml", ".graphml", ".xml")


@dataclass(frozen=True)
class Silos:
    """N silos and the paths between them.

    Attributes:
        names: N names, all different.
        distance_km: (N, N) length of the shortest path, symmetric.
        hops: (N, N) number of links on that path, 0 on the diagonal.
        position: (N, 2) latitude and longitude in degrees, None where unknown; only for drawing.
        compute_ms: (N,) milliseconds one local step takes, where the file says so, else None.
    """

    names: tuple[str, ...]
    distance_km: Float
    hops: Int
    position: Float | None = None
    compute_ms: Float | None = None

    def __len__(self) -> int:
        return len(self.names)


def read_silos(source: str) -> Silos:
    """Silos of a built-in table or of a file.

    Args:
        source: a name of `cities.BUILT_IN`; or a `.gml` or `.graphml` file with `distance` (km) on every edge and,
            where known, `compute_ms` on every node; or a `.csv` file with the columns name, latitude, longitude
            (degrees) and, where known, compute_ms. Between the cities of a CSV every pair has a direct link.

    Raises:
        UserError: there is no such name or file, or it doesn't say what is needed.
    """
    if source.lower() in BUILT_IN:
        cities = BUILT_IN[source.lower()]
        return from_cities(list(cities), np.array(list(cities.values())))
    path = Path(source)
    if not path.suffix and not path.exists():
        close = difflib.get_close_matches(source.lower(), BUILT_IN, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known tables: {', '.join(BUILT_IN)}; or give a file"
        raise UserError(f"--silos {source}: no built-in table and no file of this name", hint=hint)
    if not path.is_file():
        raise UserError(f"--silos {source}: no such file")
    if path.suffix.lower() == ".csv":
        return _read_csv(path)
    if path.suffix.lower() in _GRAPHS:
        return _read_graph(path)
    raise UserError(f"{path}: silos come as .gml, .graphml or .csv, got {path.suffix or 'no suffix'}")


def from_cities(names: Iterable[str], position: Float, compute_ms: Float | None = None) -> Silos:
    """Silos with a direct link between every two, as long as the great circle.

    Args:
        names: N different names.
        position: (N, 2) latitude and longitude in degrees.
        compute_ms: (N,) or None.

    Raises:
        UserError: fewer than two silos, or two of one name.
    """
    listed = tuple(names)
    _check_names(listed, "the list of silos")
    distance = great_circle_km(position)
    return Silos(listed, distance, 1 - np.eye(len(listed), dtype=np.int64), position, compute_ms)


def great_circle_km(position: Float) -> Float:
    """(N, N) distances on the sphere by the haversine formula.

    Args:
        position: (N, 2) latitude and longitude in degrees.
    """
    latitude, longitude = np.radians(position).T
    half_lat = np.sin((latitude[:, None] - latitude) / 2) ** 2
    half_lon = np.sin((longitude[:, None] - longitude) / 2) ** 2
    chord = half_lat + np.cos(latitude)[:, None] * np.cos(latitude) * half_lon
    return np.asarray(2 * EARTH_KM * np.arcsin(np.sqrt(np.clip(chord, 0, 1))))


def shortest_paths(length: Float) -> tuple[Float, Int]:
    """Shortest paths between all pairs (Floyd and Warshall); of equally long ones, that with fewer links.

    Args:
        length: (N, N) length of each link, infinite where there is none.

    Returns:
        (N, N) lengths, infinite where there is no path, and (N, N) numbers of links.
    """
    n = len(length)
    best, hops = length.copy(), np.where(np.isfinite(length), 1, 0).astype(np.int64)
    np.fill_diagonal(best, 0.0)
    np.fill_diagonal(hops, 0)
    for via in range(n):
        there, links = best[:, [via]] + best[[via], :], hops[:, [via]] + hops[[via], :]
        slack = 1e-9 * np.where(np.isfinite(there), there, 0)
        better = (there < best - slack) | (np.isfinite(there) & (there <= best + slack) & (links < hops))
        best, hops = np.where(better, there, best), np.where(better, links, hops)
    return best, hops


def _read_csv(path: Path) -> Silos:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            rows, columns = list(reader), reader.fieldnames or []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: can't be read as CSV: {error}") from error
    missing = [name for name in ("name", "latitude", "longitude") if name not in columns]
    if missing:
        raise UserError(
            f"{path}: no column {', '.join(missing)}; it has {', '.join(columns) or 'none'}",
            hint="needed: name,latitude,longitude (degrees), and compute_ms where silos differ in speed",
        )
    names, position, compute = [], [], []
    for line, row in enumerate(rows, start=2):
        where = f"{path}, line {line}"
        names.append((row["name"] or "").strip())
        if not names[-1]:
            raise UserError(f"{where}: the silo has no name")
        position.append([_number(row[key], f"{where}: {key}", -most, most) for key, most in _DEGREES])
        if "compute_ms" in columns:
            compute.append(_number(row["compute_ms"], f"{where}: compute_ms", 0, math.inf))
    _check_names(names, str(path))
    return from_cities(names, np.array(position), np.array(compute) if compute else None)


_DEGREES = (("latitude", 90.0), ("longitude", 180.0))


def _read_graph(path: Path) -> Silos:
    networkx = require_networkx()
    gml = path.suffix.lower() == ".gml"
    try:
        graph = networkx.read_gml(path) if gml else networkx.read_graphml(path)
    except Exception as error:  # what the parsers raise on foreign bytes is no one type
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path}: not a readable {'GML' if gml else 'GraphML'} file: {reason}") from error
    nodes: list[Any] = list(graph.nodes)
    names = [str(graph.nodes[node].get("label", node)) for node in nodes]
    _check_names(names, str(path))
    place = {node: number for number, node in enumerate(nodes)}
    length = np.full((len(nodes), len(nodes)), np.inf)
    for source, target, facts in graph.edges(data=True):
        if source == target:
            continue
        i, j = place[source], place[target]
        where = f"{path}: edge {names[i]} - {names[j]}"
        if "distance" not in facts:
            raise UserError(f"{where} has no distance", hint='every edge needs "distance" in km')
        km = _number(facts["distance"], f"{where}: distance", 0, math.inf)
        length[i, j] = length[j, i] = min(km, length[i, j])
    distance, hops = shortest_paths(length)
    if not np.isfinite(distance).all():
        apart = names[int(np.flatnonzero(~np.isfinite(distance[0]))[0])]
        raise UserError(f"{path}: the network is not connected: no path between {names[0]} and {apart}")
    facts_of = [graph.nodes[node] for node in nodes]
    return Silos(tuple(names), distance, hops, _positions(names, facts_of), _compute(path, names, facts_of))


def _positions(names: list[str], facts_of: list[Mapping[str, Any]]) -> Float | None:
    """(N, 2) from the nodes' own latitude and longitude, else from the built-in tables; None unless all are known."""
    found = []
    for name, facts in zip(names, facts_of, strict=True):
        given = {str(key).lower(): value for key, value in facts.items()}
        try:
            place = position_of(name) or (float(given["latitude"]), float(given["longitude"]))
        except (KeyError, TypeError, ValueError):
            return None
        if not (abs(place[0]) <= 90 and abs(place[1]) <= 180):
            return None
        found.append(place)
    return np.array(found)


def _compute(path: Path, names: list[str], facts_of: list[Mapping[str, Any]]) -> Float | None:
    known = ["compute_ms" in facts for facts in facts_of]
    if not any(known):
        return None
    if not all(known):
        raise UserError(f"{path}: node {names[known.index(False)]} has no compute_ms, though others have")
    return np.array(
        [
            _number(facts["compute_ms"], f"{path}: node {name}: compute_ms", 0, math.inf)
            for name, facts in zip(names, facts_of, strict=True)
        ]
    )


def _check_names(names: Iterable[str], where: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise UserError(f"{where}: the silo {name!r} is listed twice", hint="every silo needs a name of its own")
        seen.add(name)
    if len(seen) < 2:
        raise UserError(f"{where}: a federation needs at least two silos, got {len(seen)}")


def _number(value: Any, where: str, least: float, most: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise UserError(f"{where}: expected a number, got {value!r}") from None
    if not (math.isfinite(number) and least <= number <= most):
        wanted = f"a number from {least:g} to {most:g}" if math.isfinite(most) else f"a number of {least:g} or more"
        raise UserError(f"{where}: expected {wanted}, got {value}")
    return number
