"""The car on the road: a kinematic bicycle, and the driver whose steering is the truth.

Steering is a number in [-1, 1], +1 is 25 degrees to the right: the unit and the sign of the Udacity simulator's logs.
The car's position is the middle of its rear axle.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from kinesics.data.synthetic.road_track import Road
from kinesics.errors import UserError

MAX_ANGLE = math.radians(25.0)
"""Angle of the front wheels at steering 1, radians."""

WHEELBASE = 2.6
"""Metres between the axles."""

LOOKAHEAD = 6.0
"""Metres of road between the car and the point that the expert steers for."""

SPEED = 6.0
"""Metres per second, unless said otherwise."""


@dataclass(frozen=True)
class State:
    """Where the car is: middle of the rear axle, metres; heading in radians, counter-clockwise from x; metres/s."""

    x: float
    y: float
    heading: float
    speed: float = SPEED


def place(road: Road, s: float, offset: float = 0.0, turn: float = 0.0, speed: float = SPEED) -> State:
    """The car beside the point `s` of the centre line.

    Args:
        road: the road.
        s: arc length, metres.
        offset: metres to the left of the centre line.
        turn: radians that the car points to the left of the road.
        speed: metres per second.
    """
    x, y, heading, _ = road.pose(s)
    return State(x - offset * math.sin(heading), y + offset * math.cos(heading), heading + turn, speed)


def step(state: State, steering: float, dt: float) -> State:
    """The state `dt` seconds later with the steering held: the rear axle moves on an exact circular arc.

    heading' = speed tan(angle) / wheelbase, with angle = -25 degrees times the steering cut off at -1 and 1 (headings
    count to the left, steering to the right).

    Raises:
        UserError: the steering is not a number.
    """
    if not math.isfinite(steering):
        raise UserError(f"steering is {steering}; expected a number in [-1, 1]", hint="the policy has diverged")
    turn = -math.tan(MAX_ANGLE * min(max(steering, -1.0), 1.0)) / WHEELBASE * state.speed * dt
    # chord of the arc: sin(turn / 2) / (turn / 2) of its length, in the mean direction
    chord = state.speed * dt * (math.sin(turn / 2) / (turn / 2) if abs(turn) > 1e-9 else 1.0)
    middle = state.heading + turn / 2
    return replace(
        state,
        x=state.x + chord * math.cos(middle),
        y=state.y + chord * math.sin(middle),
        heading=state.heading + turn,
    )


def expert_steering(road: Road, state: State, lookahead: float = LOOKAHEAD) -> float:
    """The true steering: pure pursuit of the point of the centre line `lookahead` metres on.

    The circle through the rear axle, tangent to the heading, that meets a point (a ahead, b to the left) has curvature
    2 b / (a^2 + b^2); the front wheels stand at atan(wheelbase times that). R. C. Coulter, "Implementation of the Pure
    Pursuit Path Tracking Algorithm", CMU-RI-TR-92-01, 1992.

    Returns:
        Steering in [-1, 1], positive to the right.
    """
    s, _ = road.locate(state.x, state.y)
    x, y, _, _ = road.pose(s + lookahead)
    dx, dy = x - state.x, y - state.y
    left = dy * math.cos(state.heading) - dx * math.sin(state.heading)
    angle = math.atan(WHEELBASE * 2.0 * left / max(dx * dx + dy * dy, 1e-6))
    return min(max(-angle / MAX_ANGLE, -1.0), 1.0)


def errors(road: Road, state: State) -> tuple[float, float, float]:
    """Arc length (m), offset from the centre line (m, left is positive) and heading error (radians in [-pi, pi])."""
    s, offset = road.locate(state.x, state.y)
    turn = state.heading - road.pose(s)[2]
    return s, offset, math.remainder(turn, 2 * math.pi)
