"""Closing the loop: a policy steers the synthetic car, and what it does decides what it sees next."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kinesics.data.synthetic.road_camera import Camera
from kinesics.data.synthetic.road_car import SPEED, State, errors, expert_steering, place, step
from kinesics.data.synthetic.road_drawing import Painter
from kinesics.data.synthetic.road_scenes import LIGHTS, SCENES, WEATHERS, Light, Scene, Weather, check_setting, look_up
from kinesics.data.synthetic.road_track import Road
from kinesics.errors import UserError

Policy = Callable[[np.ndarray], float]
"""(H, W, 3) uint8 picture -> steering in [-1, 1], +1 is 25 degrees to the right."""

LOST = 1.0
"""Metres beyond the edge of the road at which the car is put back on the middle of the road."""


@dataclass(frozen=True)
class Moment:
    """One step of a drive, for those who watch."""

    time: float
    """Seconds from the start."""
    image: np.ndarray
    """(H, W, 3) uint8, what the policy saw."""
    state: State
    s: float
    """Arc length, metres."""
    offset: float
    """Metres to the left of the road's middle."""
    steering: float
    """The policy's."""
    expert: float
    """What the expert would have steered here."""


@dataclass(frozen=True)
class Drive:
    """What came of a drive."""

    laps: int
    """Laps (an open road: passages) completed without leaving the road for good."""
    asked: int
    """Laps that were to be driven."""
    departures: int
    """Times that the car was lost, more than 1 m beside the road or turned round, and put back."""
    off_road: float
    """Share of the time that the middle of the rear axle was off the road, in [0, 1]."""
    mean_lateral: float
    """Mean distance from the road's middle, metres."""
    max_lateral: float
    """Largest distance from the road's middle, metres."""
    steering_rmse: float
    """Root mean square difference between the policy's steering and the expert's at the places it came to."""
    trace: pd.DataFrame
    """A row a step: time, s, x, y, heading, offset, turn (radians), steering, expert, off_road, lost."""

    @property
    def completed(self) -> bool:
        """Whether every lap was completed."""
        return self.laps == self.asked

    def figures(self) -> dict[str, float]:
        """The numbers, without the trace."""
        return {
            "laps": self.laps, "asked": self.asked, "departures": self.departures, "off_road": self.off_road,
            "mean_lateral": self.mean_lateral, "max_lateral": self.max_lateral, "steering_rmse": self.steering_rmse,
        }  # fmt: skip


def drive(
    policy: Policy | None,
    road: Road,
    scene: str | Scene = "countryside",
    weather: str | Weather = "clear",
    light: str | Light = "noon",
    *,
    laps: int = 1,
    start: float = 0.0,
    offset: float = 0.0,
    speed: float = SPEED,
    dt: float = 0.1,
    camera: Camera | None = None,
    watch: Callable[[Moment], None] | None = None,
) -> Drive:
    """Let a policy steer the car round a road.

    The speed is held; the steering is held between pictures. A car that is lost (more than 1 m beside the road, or
    facing backwards) is put back on the middle of the road where it left it; that lap does not count. The drive ends
    after `laps` lengths of the road, or twice the time that they take.

    Args:
        policy: picture -> steering; None is the expert, who needs no picture.
        road: the road.
        scene, weather, light: names or settings of one's own, as in `render`.
        laps: how often round; an open road is driven once.
        start: arc length at which the car starts, metres.
        offset: how far to the left of the middle it starts, metres.
        speed: metres per second.
        dt: seconds between pictures.
        camera: 320 x 160 pixels where not given.
        watch: called at every step.

    Raises:
        UserError: an argument is out of its range, or the policy's answer is not a number.
    """
    if not isinstance(laps, int) or laps < 1:
        raise UserError(f"laps is {laps}; expected a whole number, 1 or more")
    if not road.closed and laps > 1:
        raise UserError(f"laps is {laps}, but the road is open: it has an end", hint="use laps=1 or a closed road")
    if not 0.0 < dt <= 1.0 or not 0.0 < speed <= 40.0:
        raise UserError(f"dt is {dt} and speed {speed}; expected 0 to 1 seconds and 0 to 40 metres per second")
    where = look_up(SCENES, scene, "scene")
    sky, hour = look_up(WEATHERS, weather, "weather"), look_up(LIGHTS, light, "light")
    check_setting(where, sky)
    blind = policy is None and watch is None
    painter = None if blind else Painter(road, where, sky, hour, camera or Camera())
    state, progress, spoilt, rows = place(road, start, offset, speed=speed), 0.0, set[int](), []
    goal = laps * road.length - (0.0 if road.closed else start)
    s, aside, turn = errors(road, state)
    for frame in range(math.ceil(2 * goal / (speed * dt))):
        image = np.zeros((1, 1, 3), dtype=np.uint8) if painter is None else painter(state, frame)
        expert = expert_steering(road, state)
        steering = expert if policy is None else _number(policy(image))
        lost = abs(aside) > where.half_width + LOST or abs(turn) > math.pi / 2
        rows.append(
            (frame * dt, s, state.x, state.y, state.heading, aside, turn, steering, expert,
             abs(aside) > where.half_width, lost)
        )  # fmt: skip
        if watch is not None:
            watch(Moment(frame * dt, image, state, s, aside, steering, expert))
        if lost:
            spoilt.add(int(progress / road.length))
            state = place(road, s, speed=speed)
        else:
            state = step(state, steering, dt)
        before = s
        s, aside, turn = errors(road, state)
        moved = s - before
        progress += math.remainder(moved, road.length) if road.closed else moved
        if progress >= goal - 1e-9:
            break
    done = laps if progress >= goal - 1e-9 else int(max(progress, 0.0) / road.length)
    trace = pd.DataFrame(rows, columns=list(_COLUMNS))
    lateral, gap = trace["offset"].abs(), trace["steering"] - trace["expert"]
    return Drive(
        laps=sum(lap not in spoilt for lap in range(done)),
        asked=laps,
        departures=int(trace["lost"].sum()),
        off_road=float(trace["off_road"].mean()),
        mean_lateral=float(lateral.mean()),
        max_lateral=float(lateral.max()),
        steering_rmse=float(np.sqrt((gap**2).mean())),
        trace=trace,
    )


_COLUMNS = ("time", "s", "x", "y", "heading", "offset", "turn", "steering", "expert", "off_road", "lost")


def _number(steering: float) -> float:
    """The steering as the car takes it, cut off at -1 and 1."""
    try:
        value = float(steering)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"the policy answered {steering!r}; expected a steering in [-1, 1]")
    return min(max(value, -1.0), 1.0)
