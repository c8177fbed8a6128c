"""Where the silos of the built-in tables are: degrees of latitude (north) and longitude (east).

Public positions of cities, rounded to 0.01 degrees (1 km). Two peculiarities of the published networks are kept, since
their cycle times depend on them: Gaia names three American regions, not cities, and stands them about the middle of the
state (here: where OpenStreetMap has the state's label); the NWS network's San José is the one in Costa Rica, 1,800 km
from Miami.
"""

from __future__ import annotations

Cities = dict[str, tuple[float, float]]

GAIA: Cities = {
    "Virginia": (37.12, -78.49),
    "California": (36.70, -118.76),
    "Oregon": (43.98, -120.74),
    "Dublin": (53.35, -6.26),
    "Frankfurt": (50.11, 8.68),
    "Tokyo": (35.68, 139.65),
    "Seoul": (37.57, 126.98),
    "Singapore": (1.35, 103.82),
    "Sydney": (-33.87, 151.21),
    "Mumbai": (19.08, 72.88),
    "Sao Paulo": (-23.55, -46.63),
}

NWS: Cities = {
    "Ashburn": (39.04, -77.49),
    "Atlanta": (33.75, -84.39),
    "Boston": (42.36, -71.06),
    "Chicago": (41.88, -87.63),
    "Dallas": (32.78, -96.80),
    "Denver": (39.74, -104.99),
    "Hayward": (37.67, -122.08),
    "Jacksonville": (30.33, -81.66),
    "Los Angeles": (34.05, -118.24),
    "Miami": (25.76, -80.19),
    "Minneapolis": (44.98, -93.27),
    "Montreal": (45.50, -73.57),
    "New York": (40.71, -74.01),
    "Newark": (40.74, -74.17),
    "Palo Alto": (37.44, -122.14),
    "Phoenix": (33.45, -112.07),
    "Philadelphia": (39.95, -75.17),
    "San José": (9.93, -84.08),
    "Seattle": (47.61, -122.33),
    "South Bend": (41.68, -86.25),
    "St. Louis": (38.63, -90.20),
    "Toronto": (43.65, -79.38),
}

BUILT_IN: dict[str, Cities] = {"gaia": GAIA, "nws": NWS}
"""What `--silos` knows by name."""

ALSO_CALLED = {"Miami, Florida": "Miami", "Philadelphie": "Philadelphia", "Saint-Louis": "St. Louis"}
"""Names that published files use for cities above; only for drawing a map of a file without positions."""


def position_of(name: str) -> tuple[float, float] | None:
    """Latitude and longitude of a city of the built-in tables, None for any other."""
    name = ALSO_CALLED.get(name, name)
    return GAIA.get(name) or NWS.get(name)
