"""Where and when a drive takes place: scenes, weathers and lights as plain tables of numbers and colours.

Colours are red, green and blue in [0, 1] at full light; lengths are metres.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TypeVar

from kinesics.errors import UserError

Rgb = tuple[float, float, float]


@dataclass(frozen=True)
class Mark:
    """A painted line on both sides at `offset` from the centre line; `dash` on of every `period` metres, 0 is solid."""

    offset: float
    colour: Rgb = (0.93, 0.93, 0.90)
    width: float = 0.16
    dash: float = 0.0
    period: float = 9.0


@dataclass(frozen=True)
class Wall:
    """A standing strip of a texture along both sides of the road."""

    texture: str
    distance: float
    """From the centre line."""
    height: float
    """Of the whole texture."""


@dataclass(frozen=True)
class Plant:
    """Things that stand beside the road and face the camera, on each side."""

    picture: str
    every: float
    """Metres of road for each, on average."""
    near: float
    """Smallest distance from the edge of the road."""
    far: float
    size: tuple[float, float]
    """Smallest and largest height."""
    regular: bool = False
    """At equal distances and at `near`, instead of anywhere."""


@dataclass(frozen=True)
class Scene:
    """What the road and the land beside it look like."""

    name: str
    half_width: float
    """From the centre line to the edge of the road: beyond it the car is off the road."""
    road: Rgb
    marks: tuple[Mark, ...]
    bands: tuple[tuple[float, Rgb], ...]
    """Strips beside the road, from outside inwards: how far beyond the road's edge each ends, and its colour."""
    land: Rgb
    patches: Rgb
    """Second colour of the land, in patches."""
    roughness: float
    """Contrast of the land's grain."""
    hills: tuple[Rgb, float]
    """Colour of the horizon, and how high it stands as the tangent of its elevation."""
    walls: tuple[Wall, ...] = ()
    plants: tuple[Plant, ...] = ()
    water: float | None = None
    """Distance from the centre line, on the left, beyond which there is water."""
    indoor: bool = False


@dataclass(frozen=True)
class Light:
    """A time of day."""

    name: str
    ambient: Rgb
    """What every colour is multiplied by."""
    top: Rgb
    """The sky overhead."""
    horizon: Rgb
    sun: tuple[float, float, Rgb] | None
    """Tangent of the elevation, strength of the glow, colour."""
    indoor: Rgb
    """What every colour is multiplied by in a corridor."""
    headlights: float = 0.0
    lamps: float = 0.0
    """Strength of lit windows and street lamps."""


@dataclass(frozen=True)
class Weather:
    """What is between the camera and the land."""

    name: str
    fog: float
    """Extinction per metre."""
    overcast: float
    """How far the sky has turned grey, 0 to 1."""
    dim: float
    """What every light is multiplied by."""
    wet: float = 0.0
    snow: float = 0.0
    falling: str = ""
    """"rain", "snow" or nothing."""


_WHITE, _YELLOW = (0.93, 0.93, 0.90), (0.95, 0.74, 0.16)

SCENES = {
    scene.name: scene
    for scene in (
        Scene(
            "countryside", 3.2, (0.36, 0.36, 0.37), (Mark(2.95),),
            ((1.0, (0.50, 0.46, 0.34)),), (0.33, 0.50, 0.20), (0.52, 0.56, 0.24), 0.30, ((0.28, 0.40, 0.30), 0.10),
            plants=(
                Plant("delineator", 16.0, 0.7, 0.7, (0.9, 0.9), regular=True),
                Plant("tree", 9.0, 4.5, 26.0, (4.0, 8.0)),
                Plant("bush", 9.0, 2.5, 18.0, (0.7, 1.8)),
            ),
        ),
        Scene(
            "city", 4.8, (0.30, 0.30, 0.32), (Mark(4.55), Mark(1.6, dash=2.0, period=6.0)),
            ((3.6, (0.58, 0.57, 0.55)), (0.35, (0.74, 0.73, 0.70))), (0.50, 0.49, 0.48), (0.45, 0.45, 0.44), 0.08,
            ((0.45, 0.47, 0.52), 0.10),
            walls=(Wall("houses", 9.5, 16.0),),
            plants=(
                Plant("lamp", 22.0, 1.2, 1.2, (6.5, 6.5), regular=True),
                Plant("tree", 30.0, 2.0, 2.6, (3.6, 4.8)),
            ),
        ),
        Scene(
            "forest", 2.8, (0.33, 0.32, 0.31), (Mark(2.5),), ((1.4, (0.38, 0.30, 0.20)),),
            (0.22, 0.27, 0.12), (0.36, 0.25, 0.13), 0.45, ((0.12, 0.22, 0.14), 0.14),
            walls=(Wall("woods", 13.0, 13.0),),
            plants=(
                Plant("conifer", 5.0, 3.0, 9.0, (6.0, 11.0)),
                Plant("bush", 8.0, 1.6, 8.0, (0.5, 1.3)),
            ),
        ),
        Scene(
            "desert", 3.4, (0.42, 0.39, 0.36), (Mark(3.1, _YELLOW),),
            ((1.6, (0.74, 0.60, 0.42)),), (0.84, 0.67, 0.44), (0.74, 0.52, 0.32), 0.20, ((0.66, 0.40, 0.28), 0.13),
            plants=(
                Plant("cactus", 16.0, 4.0, 28.0, (1.8, 4.2)),
                Plant("rock", 9.0, 2.5, 25.0, (0.5, 2.2)),
                Plant("bush", 14.0, 2.5, 20.0, (0.4, 0.9)),
            ),
        ),
        Scene(
            "coast", 3.3, (0.45, 0.45, 0.46), (Mark(3.0, dash=4.0, period=6.0),),
            ((1.2, (0.70, 0.66, 0.56)),), (0.80, 0.74, 0.56), (0.52, 0.58, 0.34), 0.16, ((0.38, 0.50, 0.50), 0.05),
            walls=(Wall("rail", 4.7, 0.9),),
            plants=(Plant("palm", 15.0, 3.0, 6.5, (5.0, 8.0)),),
            water=13.0,
        ),
        Scene(
            "corridor", 1.75, (0.62, 0.60, 0.56), (Mark(1.1, _YELLOW, 0.10),),
            ((0.4, (0.34, 0.36, 0.40)),), (0.34, 0.36, 0.40), (0.34, 0.36, 0.40), 0.03, ((0.2, 0.2, 0.2), 0.0),
            walls=(Wall("corridor", 2.1, 2.7),),
            indoor=True,
        ),
    )
}  # fmt: skip

LIGHTS = {
    light.name: light
    for light in (
        Light(
            "morning", (0.90, 0.80, 0.66), (0.42, 0.60, 0.84), (0.98, 0.82, 0.62), (0.10, 0.9, (1.0, 0.90, 0.66)),
            (0.98, 0.88, 0.70), lamps=0.1,
        ),
        Light(
            "noon", (1.08, 1.08, 1.05), (0.22, 0.46, 0.86), (0.70, 0.84, 0.96), None, (1.05, 1.05, 1.05),
        ),
        Light(
            "dusk", (0.52, 0.40, 0.44), (0.20, 0.18, 0.42), (0.96, 0.46, 0.26), (0.03, 1.3, (1.0, 0.55, 0.25)),
            (0.72, 0.54, 0.34), headlights=0.25, lamps=0.6,
        ),
        Light(
            "night", (0.085, 0.10, 0.17), (0.012, 0.018, 0.05), (0.05, 0.065, 0.13), None, (0.13, 0.16, 0.20),
            headlights=1.0, lamps=1.0,
        ),
    )
}  # fmt: skip

WEATHERS = {
    weather.name: weather
    for weather in (
        Weather("clear", 0.0012, 0.0, 1.0),
        Weather("rain", 0.010, 0.9, 0.62, wet=1.0, falling="rain"),
        Weather("fog", 0.045, 0.9, 0.86),
        Weather("snow", 0.014, 0.85, 0.92, snow=1.0, falling="snow"),
    )
}

Kind = TypeVar("Kind", Scene, Light, Weather)


def look_up(table: dict[str, Kind], name: str | Kind, what: str) -> Kind:
    """The entry of that name; a setting of one's own is handed through.

    Raises:
        UserError: the name is unknown; the closest known ones are named.
    """
    if not isinstance(name, str):
        return name
    if name not in table:
        close = difflib.get_close_matches(name, table, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(table)}"
        raise UserError(f"unknown {what} {name!r}", hint=hint)
    return table[name]


def check_setting(scene: Scene, weather: Weather) -> None:
    """Raise `UserError` for weather in a corridor."""
    if scene.indoor and weather.name != "clear":
        raise UserError(f"there is no {weather.name} in the {scene.name}", hint="use weather clear with indoor scenes")
