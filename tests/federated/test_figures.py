"""Great circles, places on paper, and that both figures are drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kinesics.federated.design import design
from kinesics.federated.figures import great_circle, laid_out, overlay_maps, trade_off_chart
from kinesics.federated.silos import great_circle_km, read_silos
from kinesics.federated.topology import connect

PLAIN = """graph [
  node [ id 0 label "a" ] node [ id 1 label "b" ] node [ id 2 label "$c$" ]
  edge [ source 0 target 1 distance 30.0 ] edge [ source 1 target 2 distance 40.0 ]
]"""


def test_great_circles_are_as_long_as_the_way() -> None:
    line = great_circle(np.array([35.7, 139.7]), np.array([37.6, 127.0]))
    steps = [great_circle_km(line[k : k + 2])[0, 1] for k in range(len(line) - 1)]
    assert sum(steps) == pytest.approx(great_circle_km(line[[0, -1]])[0, 1], rel=1e-6)
    assert np.allclose(steps, steps[0])


def test_a_line_over_the_pacific_breaks_at_the_date_line() -> None:
    line = great_circle(np.array([35.7, 139.7]), np.array([43.8, -120.5]))
    assert np.isnan(line).any(axis=1).sum() == 1
    assert np.nanmax(np.abs(np.diff(line[:, 1]))) < 180


def test_places_keep_distances_that_fit_a_plane() -> None:
    place = np.random.default_rng(0).normal(size=(6, 2))
    distance = np.linalg.norm(place[:, None] - place, axis=-1)
    found = laid_out(distance)
    again = np.linalg.norm(found[:, None] - found, axis=-1)
    np.testing.assert_allclose(again / again.max(), distance / distance.max(), atol=1e-9)


def test_silos_without_places_are_drawn_too(tmp_path: Path) -> None:
    (tmp_path / "a.gml").write_text(PLAIN, encoding="utf-8")
    made = connect(read_silos(str(tmp_path / "a.gml")), 1e7, 5.0, 1e9, 1e9)
    found = design(made, search_steps=20, central=False)
    assert {"Metropolis", "push-sum"} >= {one.mixing.name for one in found.overlays if one.mixing is not None}
    for number, figure in enumerate((overlay_maps(found), trade_off_chart(found))):
        figure.savefig(tmp_path / f"{number}.png", dpi=40)
        assert (tmp_path / f"{number}.png").stat().st_size > 2000
