"""The car against its differential equation, and the expert against geometry."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kinesics.data.synthetic.road_car import (
    LOOKAHEAD,
    MAX_ANGLE,
    WHEELBASE,
    State,
    errors,
    expert_steering,
    place,
    step,
)
from kinesics.data.synthetic.road_track import Road
from kinesics.errors import UserError


@pytest.mark.parametrize("steering", [-1.0, -0.3, 0.0, 1e-9, 0.4, 1.0])
def test_a_step_is_what_many_small_ones_add_up_to(steering: float) -> None:
    x, y, heading, speed, n = 1.0, -2.0, 0.7, 6.0, 20_000
    for _ in range(n):  # Euler's method, midway headings left out on purpose
        x += speed * math.cos(heading) / n
        y += speed * math.sin(heading) / n
        heading += speed / WHEELBASE * math.tan(-math.radians(25) * steering) / n
    found = step(State(1.0, -2.0, 0.7, speed), steering, 1.0)
    assert (found.x, found.y, found.heading) == pytest.approx((x, y, heading), abs=1e-3)


def test_positive_steering_goes_right_and_is_cut_off_at_one() -> None:
    ahead = State(0.0, 0.0, 0.0)
    assert step(ahead, 0.5, 0.5).y < 0 < step(ahead, -0.5, 0.5).y
    assert step(ahead, 3.0, 0.5) == step(ahead, 1.0, 0.5)


def test_held_steering_drives_a_circle_of_the_wheels_radius() -> None:
    radius = WHEELBASE / math.tan(MAX_ANGLE * 0.4)
    state = start = State(0.0, 0.0, 0.0, 5.0)
    n = 40
    for _ in range(n):
        state = step(state, -0.4, 2 * math.pi * radius / 5.0 / n)
        assert math.hypot(state.x, state.y - radius) == pytest.approx(radius)
    assert (state.x, state.y) == pytest.approx((start.x, start.y), abs=1e-9)


@pytest.mark.parametrize(("radius", "left"), [(20.0, True), (20.0, False), (60.0, True)])
def test_on_a_circle_the_expert_holds_the_circles_steering(radius: float, left: bool) -> None:
    road = Road.circle(radius, left)
    truth = math.degrees(math.atan(WHEELBASE / radius)) / 25.0 * (-1 if left else 1)
    for s in (0.0, 10.0, 50.0):
        assert expert_steering(road, place(road, s)) == pytest.approx(truth, rel=1e-3)


def test_the_expert_steers_for_the_point_ahead() -> None:
    """Aside on a straight road: the circle through the car and the point, tangent to the heading, by its centre."""
    road, offset, turn = Road.straight(100.0), 0.8, math.radians(-4)
    state = place(road, 30.0, offset, turn)
    target = np.array([30.0 + LOOKAHEAD, 0.0])
    here, normal = np.array([30.0, offset]), np.array([-math.sin(turn), math.cos(turn)])
    chord = target - here
    signed_radius = chord @ chord / (2 * chord @ normal)
    truth = -math.degrees(math.atan(WHEELBASE / signed_radius)) / 25.0
    assert expert_steering(road, state) == pytest.approx(truth, rel=1e-6) and truth > 0


@pytest.mark.parametrize(("offset", "turn"), [(1.5, 0.0), (-1.5, 0.0), (0.0, 15.0), (1.2, 15.0), (-1.0, -15.0)])
def test_the_expert_steers_back(offset: float, turn: float) -> None:
    road = Road.random(2)
    state = place(road, 40.0, offset, math.radians(turn))
    assert errors(road, state)[1:] == pytest.approx((offset, math.radians(turn)), abs=2e-3)
    for _ in range(40):
        state = step(state, expert_steering(road, state), 0.1)
    assert abs(errors(road, state)[1]) < 0.15


def test_a_mirrored_world_has_the_opposite_steering() -> None:
    road = Road.random(9)
    other = road.mirrored()
    for s in np.linspace(0, road.length, 20):
        a = expert_steering(road, place(road, s, 0.6, 0.1))
        assert expert_steering(other, place(other, s, -0.6, -0.1)) == pytest.approx(-a, abs=1e-9)
    assert np.array_equal(other.mirrored().y, road.y) and other.mirrored().hand == road.hand


def test_steering_that_is_no_number() -> None:
    with pytest.raises(UserError, match="steering is nan"):
        step(State(0.0, 0.0, 0.0), math.nan, 0.1)
