"""Drawing lots for faces: who, which mixture of emotions, seen how. Face i has its own seed, whatever the
others do."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kinesics.data.emotions import BASIC, CIRCUMPLEX, VOCABULARY, canonical
from kinesics.data.synthetic.action_units import ACTION_UNITS
from kinesics.data.synthetic.face_geometry import FaceParameters, Person
from kinesics.errors import UserError

CONFUSION = np.array(
    [
        [0.00, 0.13, 0.48, 0.09, 0.03, 0.04, 0.13, 0.10],
        [0.47, 0.00, 0.07, 0.28, 0.03, 0.03, 0.07, 0.04],
        [0.59, 0.05, 0.00, 0.05, 0.08, 0.06, 0.11, 0.05],
        [0.26, 0.15, 0.06, 0.00, 0.39, 0.02, 0.10, 0.01],
        [0.14, 0.04, 0.21, 0.43, 0.00, 0.04, 0.12, 0.02],
        [0.23, 0.04, 0.20, 0.05, 0.03, 0.00, 0.32, 0.11],
        [0.28, 0.10, 0.14, 0.22, 0.09, 0.13, 0.00, 0.04],
        [0.40, 0.07, 0.18, 0.04, 0.03, 0.16, 0.13, 0.00],
    ]
)
"""(8, 8) over `VOCABULARY`: how the votes that miss the majority are shared out, by majority class
(rows). Means over the 28,000 training faces with at least 8 votes for an expression in FER+ (E. Barsoum,
C. Zhang, C. Canton Ferrer and Z. Zhang, "Training deep networks for facial expression recognition with
crowd-sourced label distribution", 2016)."""

_PERSON_RANGES: dict[str, tuple[float, float]] = {
    "head_width": (0.71, 0.86), "head_height": (0.95, 1.05), "jaw": (0.02, 0.28),
    "eye_distance": (0.29, 0.35), "eye_height": (-0.17, -0.08), "eye_size": (0.15, 0.20),
    "eye_openness": (0.75, 1.15), "eye_slant": (-0.015, 0.03),
    "brow_gap": (0.17, 0.25), "brow_thickness": (0.018, 0.05), "brow_slope": (-0.03, 0.04),
    "nose_length": (0.26, 0.35), "nose_width": (0.10, 0.16),
    "mouth_height": (0.46, 0.54), "mouth_width": (0.21, 0.29), "mouth_curve": (-0.025, 0.025),
    "lip_thickness": (0.03, 0.08),
    "skin": (0.0, 1.0), "hair": (0.0, 1.0), "hair_length": (0.05, 1.0), "hairline": (-0.78, -0.62),
    "beard": (-2.0, 0.9), "iris": (0.0, 1.0), "age": (0.0, 1.0),
}  # fmt: skip
"""From where to where each trait varies, uniformly; a beard below 0 is none."""

_FACE_STREAM, _PERSON_STREAM = 0, 1


@dataclass(frozen=True)
class SampledFaces:
    """N faces and what `FaceParameters` does not say: the person's number and own offset in valence and
    arousal."""

    parameters: FaceParameters
    group: np.ndarray  # (N,) int64
    person_offset: np.ndarray  # (N, 2) float64


def sample_people(numbers: np.ndarray, seed: int, person_noise: float = 0.0) -> tuple[Person, np.ndarray]:
    """The people with the given numbers in the population `seed`.

    Returns:
        Person with (N,) fields, and (N, 2) float64 the offset of each one's valence and arousal, normal
        with standard deviation `person_noise`.
    """
    uniform, normal = _lots(numbers, seed, _PERSON_STREAM, len(_PERSON_RANGES), 2)
    traits = {name: low + (high - low) * uniform[:, k] for k, (name, (low, high)) in enumerate(_PERSON_RANGES.items())}
    # dark hair goes with dark skin more often than not
    traits["hair"] = traits["hair"] * (1.0 - 0.7 * traits["skin"])
    traits["beard"] = np.maximum(traits["beard"], 0.0)
    return Person(**traits), person_noise * normal


def sample_faces(
    n: int,
    seed: int,
    *,
    classes: Sequence[str] = BASIC,
    ambiguity: float = 0.25,
    occlusion: float = 0.2,
    intensity: tuple[float, float] = (0.6, 1.0),
    pose: float = 10.0,
    light: float = 0.6,
    noise: float = 0.03,
    person_noise: float = 0.05,
    faces_per_person: int = 8,
    start: int = 0,
) -> SampledFaces:
    """Faces `start` to `start + n` of the endless row of faces that `seed` names; arguments as in
    `draw_faces`."""
    numbers = np.arange(start, start + n)
    group = numbers // faces_per_person
    people, inverse = np.unique(group, return_inverse=True)
    person, offset = sample_people(people, seed, person_noise)
    person = Person(**{f.name: getattr(person, f.name)[inverse] for f in dataclasses.fields(Person)})
    uniform, normal = _lots(numbers, seed, _FACE_STREAM, 48, 8 + len(ACTION_UNITS))
    take = iter(uniform.T)

    def between(low: float, high: float) -> np.ndarray:
        return low + (high - low) * next(take)

    mixture = _mixtures(uniform[:, 32:48], classes, ambiguity)
    occluded = next(take) < occlusion
    # clear glasses, dark glasses, scarf, hand, patch
    kind = np.where(occluded, np.searchsorted([0.3, 0.4, 0.6, 0.8], next(take), side="right"), -1)
    angle = np.clip(normal[:, :3], -2.5, 2.5)
    scarf = kind == 2
    parameters = FaceParameters(
        mixture=mixture,
        person=person,
        intensity=between(*intensity),
        variant=next(take),
        mirrored=next(take) < 0.5,
        # each muscle a little more or less than the prototype says
        deviation=0.08 * normal[:, 8:],
        gaze_x=between(-0.8, 0.8),
        gaze_y=between(-0.4, 0.6),
        yaw=pose * angle[:, 0],
        pitch=0.6 * pose * angle[:, 1],
        roll=0.6 * pose * angle[:, 2],
        shift_x=between(-0.08, 0.08),
        shift_y=between(-0.12, 0.0),
        scale=between(0.84, 1.0),
        light_azimuth=between(-75.0, 75.0),
        light_elevation=between(-25.0, 60.0),
        light_strength=light * next(take),
        # a camera sets its exposure by what it sees: half of the difference between skins goes
        exposure=between(0.8, 1.05) * (1.0 + 0.5 * np.asarray(person.skin)),
        background=between(0.05, 0.95),
        glasses=np.where(kind == 0, 1, np.where(kind == 1, 2, 0)),
        occluder=np.maximum(kind - 1, 0),
        occluder_x=between(-0.5, 0.5) * ~scarf,
        occluder_y=np.where(scarf, between(0.2, 0.6), between(-0.35, 0.65)),
        occluder_size=between(0.16, 0.34),
        occluder_tone=between(0.05, 0.95),
        blur=between(0.0, 0.5),
        noise=noise * next(take),
        noise_seed=(next(take) * 2.0**53).astype(np.int64),
    )
    return SampledFaces(parameters, group, offset[inverse])


def circumplex(mixture: np.ndarray, intensity: np.ndarray) -> np.ndarray:
    """(N, 2) valence and arousal: the mixture-weighted mean of `CIRCUMPLEX`, times the intensity."""
    points = np.array([CIRCUMPLEX[name] for name in VOCABULARY])
    return (np.asarray(mixture)[..., None] * points).sum(axis=-2) * np.asarray(intensity)[..., None]


def class_columns(classes: Sequence[str]) -> list[int]:
    """Where the classes stand in `VOCABULARY`.

    Raises:
        UserError: a class is unknown or given twice, or there are fewer than two.
    """
    names = [canonical(name) for name in classes]
    unknown = [name for name in names if name not in VOCABULARY]
    if unknown or len(set(names)) < len(names) or len(names) < 2:
        raise UserError(
            f"can't draw the classes {', '.join(map(str, classes)) or '(none)'}; expected two or more",
            hint=f"choose different ones among {', '.join(VOCABULARY)}",
        )
    return [VOCABULARY.index(name) for name in names]


def _mixtures(uniform: np.ndarray, classes: Sequence[str], ambiguity: float) -> np.ndarray:
    """(N, 8) mixtures from (N, 16) lots: one clear emotion with traces of others, or a blend of two or three.

    The first emotion is any class with equal chance; the others are those that people see in its stead
    (`CONFUSION`). A clear face has up to a fifth of others; in a blend the second emotion has between 28
    and 48 %, in a blend of three the second and third between 18 and 32 % each.
    """
    columns = class_columns(classes)
    n, c = len(uniform), len(columns)
    confusion = CONFUSION[np.ix_(columns, columns)]
    first = np.minimum((uniform[:, 0] * c).astype(np.int64), c - 1)
    with np.errstate(divide="ignore"):
        # exponential clocks with these rates ring in the order of drawing without replacement
        clocks = -np.log1p(-uniform[:, 1 : 1 + c]) / confusion[first]
    order = np.argsort(clocks, axis=1, kind="stable")
    second, third = order[:, 0], order[:, min(1, c - 2)]
    blend = uniform[:, 10] < ambiguity
    of_three = blend & (uniform[:, 11] < 0.3) & (c > 2)
    trace = 0.2 * uniform[:, 12]
    share_second = np.where(blend, 0.28 + 0.20 * uniform[:, 13], trace * (0.5 + 0.5 * uniform[:, 13]))
    share_second = np.where(of_three, 0.18 + 0.14 * uniform[:, 13], share_second)
    share_third = np.where(blend, 0.0, trace - share_second)
    share_third = np.where(of_three, 0.18 + 0.14 * uniform[:, 14], share_third)
    mixture = np.zeros((n, len(VOCABULARY)))
    place, rows = np.array(columns), np.arange(n)
    np.add.at(mixture, (rows, place[first]), 1.0 - share_second - share_third)
    np.add.at(mixture, (rows, place[second]), share_second)
    np.add.at(mixture, (rows, place[third]), share_third)
    return mixture


def _lots(numbers: np.ndarray, seed: int, stream: int, uniforms: int, normals: int) -> tuple[np.ndarray, np.ndarray]:
    """(N, uniforms) in [0, 1) and (N, normals) standard normal, each row from its number's own generator."""
    uniform = np.empty((len(numbers), uniforms))
    normal = np.empty((len(numbers), normals))
    for k, number in enumerate(numbers):
        sequence = np.random.SeedSequence(seed, spawn_key=(stream, int(number)))
        generator = np.random.Generator(np.random.PCG64(sequence))
        uniform[k] = generator.random(uniforms)
        normal[k] = generator.standard_normal(normals)
    return uniform, normal
