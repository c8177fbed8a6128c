"""What a drawn face is made of: the person, the expression, the camera; and the lengths that follow from
them.

Lengths are in head units: about 1 from the middle of the head to the chin; x grows to the right of the
    image, y
downwards, and the middle of the head is the origin.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kinesics.data.emotions import VOCABULARY
from kinesics.data.synthetic.action_units import ACTION_UNITS, action_units
from kinesics.errors import UserError

Numbers = Any
"""A number, or one a face: anything that broadcasts to (N,)."""


@dataclass(frozen=True)
class Person:
    """Who is drawn; nothing here depends on the emotion. The defaults are an average person.

    Lengths are in head units, tones in [0, 1], the rest are factors or amounts as said. Each field is a
    number or (N,), one a person.
    """

    head_width: Numbers = 0.78  # half the width at the cheekbones
    head_height: Numbers = 1.0
    jaw: Numbers = 0.25  # narrowing towards the chin, 0 (square) to 0.5
    eye_distance: Numbers = 0.32  # from the middle of the face to the middle of an eye
    eye_height: Numbers = -0.12
    eye_size: Numbers = 0.175  # half the width of an eye
    eye_openness: Numbers = 1.0  # factor
    eye_slant: Numbers = 0.0  # outer corner above the inner one
    brow_gap: Numbers = 0.22  # brow above the eye, at rest
    brow_thickness: Numbers = 0.035  # half
    brow_slope: Numbers = 0.0  # outer end above the inner one
    nose_length: Numbers = 0.30
    nose_width: Numbers = 0.13  # half
    mouth_height: Numbers = 0.50
    mouth_width: Numbers = 0.25  # half
    mouth_curve: Numbers = 0.0  # corners above the middle, at rest
    lip_thickness: Numbers = 0.055
    skin: Numbers = 0.3  # 0 the lightest, 1 the darkest
    hair: Numbers = 0.2  # 0 black, 0.5 brown, 0.8 blond, 1 white
    hair_length: Numbers = 0.3  # 0 bald, below 0.5 short, 1 below the shoulders
    hairline: Numbers = -0.66  # height of the hairline
    beard: Numbers = 0.0  # 0 shaven, 1 full
    iris: Numbers = 0.3  # 0 dark brown, 1 light
    age: Numbers = 0.3  # depth of wrinkles, 0 to 1


@dataclass(frozen=True)
class FaceParameters:
    """All that a drawn face depends on. Each field is one value or one a face (N first); they broadcast
    together.

    `mixture` is (8,) or (N, 8) over `VOCABULARY`; `deviation` (A,) or (N, A) is added to the action units.
    Angles are degrees. A film of one face is one `FaceParameters` with arrays along time:
    `FaceParameters(mixture=happy, intensity=np.linspace(0, 1, 16), person=Person(skin=0.6))`.
    """

    mixture: Any
    intensity: Numbers = 1.0  # [0, 1]
    person: Person = field(default_factory=Person)
    variant: Numbers = 0.0  # [0, 1], see `action_units`
    mirrored: Numbers = False
    deviation: Any = 0.0
    gaze_x: Numbers = 0.0  # [-1, 1], right of the image positive
    gaze_y: Numbers = 0.0  # [-1, 1], down positive
    yaw: Numbers = 0.0  # positive: the face turns to the right of the image
    pitch: Numbers = 0.0  # positive: the face looks up
    roll: Numbers = 0.0  # positive: the head leans to the right of the image (clockwise)
    shift_x: Numbers = 0.0  # middle of the head, in half image widths from the middle of the image
    shift_y: Numbers = -0.06
    scale: Numbers = 0.95  # one head unit in half image widths
    light_azimuth: Numbers = 0.0  # positive: from the right of the image
    light_elevation: Numbers = 30.0  # positive: from above
    light_strength: Numbers = 0.4  # 0 flat light, 1 a single lamp in the dark
    exposure: Numbers = 1.0  # factor on the brightness
    background: Numbers = 0.5  # tone in [0, 1]
    glasses: Numbers = 0  # 0 none, 1 clear, 2 dark
    occluder: Numbers = 0  # 0 none, 1 scarf, 2 hand, 3 patch
    occluder_x: Numbers = 0.0  # where its middle is (a scarf: occluder_y is its upper edge), head units
    occluder_y: Numbers = 0.4
    occluder_size: Numbers = 0.3  # half its extent, head units
    occluder_tone: Numbers = 0.4  # [0, 1]
    blur: Numbers = 0.0  # [0, 1], 1 is a 3x3 box on a 48 pixel image
    noise: Numbers = 0.0  # standard deviation of the pixel noise, 1 is from black to white
    noise_seed: Numbers = 0  # non-negative int, one a face

    def __post_init__(self) -> None:
        if np.shape(self.mixture)[-1:] != (len(VOCABULARY),):
            raise UserError(
                f"a mixture of shape {np.shape(self.mixture)}; expected (8,) or (N, 8)",
                hint=f"one weight for each of {', '.join(VOCABULARY)}",
            )

    def __len__(self) -> int:
        """Number of faces, 1 when every field is a single value."""
        fields = [np.shape(getattr(self.person, f.name)) for f in dataclasses.fields(Person)]
        fields += [np.shape(getattr(self, f.name)) for f in dataclasses.fields(self) if f.name not in _NESTED]
        fields += [np.shape(self.mixture)[:-1], np.shape(self.deviation)[:-1]]
        return int(np.prod(np.broadcast_shapes((1,), *fields)))

    def rows(self, start: int, stop: int) -> FaceParameters:
        """The faces `start` to `stop`, every field with one value a face."""
        n = len(self)
        own = {
            f.name: np.broadcast_to(getattr(self, f.name), (n,))[start:stop]
            for f in dataclasses.fields(self)
            if f.name not in _NESTED
        }
        person = {
            f.name: np.broadcast_to(getattr(self.person, f.name), (n,))[start:stop] for f in dataclasses.fields(Person)
        }
        mixture = np.broadcast_to(self.mixture, (n, np.shape(self.mixture)[-1]))[start:stop]
        deviation = np.broadcast_to(self.deviation, (n, len(ACTION_UNITS)))[start:stop]
        return FaceParameters(mixture=mixture, deviation=deviation, person=Person(**person), **own)


_NESTED = ("mixture", "person", "deviation")


@dataclass(frozen=True)
class Geometry:
    """Lengths of drawn features in head units, each (N,). `left` and `right` are those of the image."""

    head_width: np.ndarray
    head_above: np.ndarray  # from the middle of the head to the crown
    head_below: np.ndarray  # to the chin
    jaw: np.ndarray
    brow_inner_x: np.ndarray
    brow_outer_x: np.ndarray
    brow_inner_y: np.ndarray
    brow_middle_y: np.ndarray
    brow_outer_y: np.ndarray
    brow_thickness: np.ndarray
    eye_x: np.ndarray
    eye_y: np.ndarray
    eye_width: np.ndarray
    eye_slant: np.ndarray
    lid_above: np.ndarray  # upper lid above the eye's axis
    lid_below: np.ndarray
    nose_tip_y: np.ndarray
    nose_width: np.ndarray
    mouth_y: np.ndarray  # middle of the line between the lips
    mouth_left_x: np.ndarray  # distance of the corner from the middle of the face
    mouth_right_x: np.ndarray
    mouth_left_y: np.ndarray
    mouth_right_y: np.ndarray
    mouth_above: np.ndarray  # opening above the line between the lips, at its middle
    mouth_below: np.ndarray
    mouth_square: np.ndarray  # 0 an almond-shaped opening, 1 a square one
    lip_above: np.ndarray  # thickness of the upper lip
    lip_below: np.ndarray
    fold_left: np.ndarray  # depth of the fold from nose to mouth corner, 0 to 1
    fold_right: np.ndarray
    units: dict[str, np.ndarray]  # the action units themselves, for wrinkles and bulges


def geometry(parameters: FaceParameters) -> Geometry:
    """The lengths that follow from person and expression: each action unit moves what FACS says it moves.

    Pairs that act on one place do not add up (FACS, chapter on combinations): with the inner brow raised
    (1), lowering the brow (4) draws the brows together and hardly down.
    """
    who = parameters.person
    raw = action_units(parameters.mixture, parameters.intensity, parameters.variant, parameters.mirrored)
    raw = np.clip(raw + np.asarray(parameters.deviation), 0.0, 1.0)
    u = {name: raw[..., k] for k, name in enumerate(ACTION_UNITS)}

    # brows and eyes
    brow_down = u["brow_lower"]
    lowered = brow_down * (1.0 - 0.75 * u["inner_brow_raise"])
    wrinkled = u["nose_wrinkle"]
    brow_y = who.eye_height - who.brow_gap
    inner, outer = u["inner_brow_raise"], u["outer_brow_raise"]
    oblique = inner * (1.0 - outer)
    widened, tight, cheek = u["upper_lid_raise"], u["lid_tighten"], u["cheek_raise"]
    upper_lid = 0.48 + 0.42 * widened - 0.16 * tight - 0.14 * cheek - 0.45 * u["lid_droop"] - 0.10 * wrinkled
    lower_lid = 0.34 + 0.08 * widened - 0.16 * tight - 0.30 * cheek - 0.12 * wrinkled
    openness = who.eye_size * who.eye_openness

    # mouth
    jaw_drop, part, press = u["jaw_drop"], u["lips_part"], u["lip_press"]
    pull = (u["lip_corner_pull_left"], u["lip_corner_pull_right"])
    dimple = (u["dimple_left"], u["dimple_right"])
    raised_chin, lifted_lip, depressed = u["chin_raise"], u["upper_lip_raise"], u["lip_corner_depress"]
    smile = np.maximum(pull[0], pull[1])
    middle = who.mouth_height - 0.07 * raised_chin - 0.03 * wrinkled - 0.03 * lifted_lip + 0.05 * jaw_drop
    rest = middle - who.mouth_curve + 0.14 * depressed + 0.05 * raised_chin - 0.02 * jaw_drop
    corner_y = [rest - 0.17 * pull[side] - 0.04 * dimple[side] for side in (0, 1)]
    wider = 1.0 + 0.34 * u["lip_stretch"] - 0.22 * jaw_drop - 0.08 * raised_chin
    corner_x = [who.mouth_width * (wider + 0.34 * pull[side] + 0.22 * dimple[side]) for side in (0, 1)]
    middle = middle + 0.02 * (pull[0] + pull[1])
    thickness = who.lip_thickness * (1.0 - 0.7 * press) * (1.0 - 0.25 * smile)
    deeper = 0.9 * wrinkled + 0.5 * lifted_lip + 0.25 * who.age
    folds = [np.clip(deeper + 0.8 * pull[side] + 0.5 * dimple[side], 0.0, 1.0) for side in (0, 1)]

    return Geometry(
        head_width=who.head_width,
        head_above=who.head_height,
        head_below=who.head_height * (1.0 + 0.09 * jaw_drop),
        jaw=who.jaw,
        brow_inner_x=0.13 - 0.05 * brow_down - 0.01 * wrinkled,
        brow_outer_x=who.eye_distance + 1.15 * who.eye_size,
        brow_inner_y=brow_y - 0.14 * inner + 0.13 * lowered + 0.05 * wrinkled + 0.3 * who.brow_slope,
        brow_middle_y=brow_y - 0.05 - 0.03 * inner - 0.10 * outer + 0.09 * lowered + 0.03 * wrinkled,
        brow_outer_y=brow_y + 0.01 - 0.09 * outer + 0.03 * brow_down + 0.03 * oblique - who.brow_slope,
        brow_thickness=who.brow_thickness,
        eye_x=who.eye_distance,
        eye_y=who.eye_height,
        eye_width=who.eye_size,
        eye_slant=who.eye_slant - 0.03 * oblique,
        lid_above=openness * np.clip(upper_lid, 0.08, 1.0),
        lid_below=openness * np.clip(lower_lid, -0.02, 1.0),
        nose_tip_y=who.eye_height + who.nose_length * (1.0 - 0.18 * wrinkled - 0.05 * lifted_lip),
        nose_width=who.nose_width * (1.0 + 0.18 * wrinkled + 0.12 * smile),
        mouth_y=middle,
        mouth_left_x=corner_x[0],
        mouth_right_x=corner_x[1],
        mouth_left_y=corner_y[0],
        mouth_right_y=corner_y[1],
        mouth_above=part * (0.035 + 0.05 * jaw_drop + 0.06 * lifted_lip + 0.02 * smile),
        mouth_below=part * (0.05 + 0.06 * u["lower_lip_depress"] + 0.06 * smile) + 0.17 * jaw_drop,
        mouth_square=np.clip(u["lip_stretch"] + 0.6 * lifted_lip + u["lower_lip_depress"], 0.0, 1.0),
        lip_above=thickness * (1.0 - 0.3 * lifted_lip),
        lip_below=1.25 * thickness,
        fold_left=folds[0],
        fold_right=folds[1],
        units=u,
    )
