"""Drawn faces with known truth: the mixture of emotions, valence and arousal, pose, light, occlusion,
identity.

The geometry of a face is the mixture-weighted sum of the emotions' action units, times the intensity; so
the right answer to an ambiguous face is known exactly, and not only as a vote.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from kinesics.data.emotions import BASIC, VOCABULARY
from kinesics.data.synthetic.face_drawing import render
from kinesics.data.synthetic.face_geometry import FaceParameters
from kinesics.data.synthetic.face_sampling import circumplex, class_columns, sample_faces
from kinesics.errors import UserError
from kinesics.files import atomic_write

_SPLITS = ("train", "valid", "test")
_SPLIT_PEOPLE = 1 << 30
"""Each split begins this many people after the one before: no person is in two, and each can grow by
itself."""


@dataclass(frozen=True)
class FaceSet:
    """N drawn faces and the truth about each.

    Attributes:
        images: (N, H, W, channels) uint8.
        classes: C names in the order of the columns of `distribution`.
        distribution: (N, C) float32, the true mixture; rows sum to 1.
        label: (N,) int64, the class with the largest share.
        valence_arousal: (N, 2) float32 in [-1, 1]: the mixture-weighted mean of `CIRCUMPLEX` times the
            intensity, plus `person_offset`, cut off at -1 and 1.
        person_offset: (N, 2) float32.
        ambiguity: (N,) float32 in [0, 1], entropy of the distribution over log C.
        intensity: (N,) float32 in [0, 1].
        yaw, pitch, roll: (N,) float32, degrees.
        light: (N, 3) float32: azimuth and elevation in degrees, strength in [0, 1].
        occlusion: (N,) float32 in [0, 1], the covered share of the face from the brows to the chin.
        group: (N,) int64, number of the person.
        parameters: all that was drawn; `render(parameters, size)` draws it again at another size.
    """

    images: np.ndarray
    classes: tuple[str, ...]
    distribution: np.ndarray
    label: np.ndarray
    valence_arousal: np.ndarray
    person_offset: np.ndarray
    ambiguity: np.ndarray
    intensity: np.ndarray
    yaw: np.ndarray
    pitch: np.ndarray
    roll: np.ndarray
    light: np.ndarray
    occlusion: np.ndarray
    group: np.ndarray
    parameters: FaceParameters

    def __len__(self) -> int:
        return len(self.images)

    def votes(self, n_annotators: int, rng: np.random.Generator) -> np.ndarray:
        """(N, C) int64: how many of `n_annotators`, each drawing a class from the true distribution,
        chose each.

        Raises:
            UserError: `n_annotators` is below 1.
        """
        if n_annotators < 1:
            raise UserError(f"n_annotators is {n_annotators}; expected 1 or more")
        shares = self.distribution.astype(np.float64)
        return rng.multinomial(n_annotators, shares / shares.sum(axis=1, keepdims=True))


def draw_face(parameters: FaceParameters, size: int = 48) -> np.ndarray:
    """Draw one face from its parameters.

    Args:
        parameters: one face (for several at once see `render`).
        size: height and width, pixels.

    Returns:
        (size, size, 3) uint8 RGB.

    Raises:
        UserError: more than one face, or `size` below 16.
    """
    if len(parameters) != 1:
        raise UserError(f"draw_face draws one face, got parameters of {len(parameters)}", hint="use render")
    _check_size(size, 3)
    return render(parameters, size)[0][0]


def draw_faces(
    n: int,
    seed: int,
    *,
    size: int = 48,
    channels: int = 1,
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
) -> FaceSet:
    """Draw labelled faces.

    The same seed gives the same bytes, and face i does not depend on `n`: a larger set continues a smaller.
    Place in the picture, distance, exposure, background and a slight blur always vary.

    Args:
        n: how many.
        seed: which endless row of faces, 0 or more.
        size: height and width, pixels.
        channels: 1 (grey) or 3 (RGB).
        classes: two or more emotions of `VOCABULARY`; each is the first emotion of a face with the same
            chance.
        ambiguity: share of the faces that are blends of two or three emotions which people confuse; the
            others have at least 80 % of one.
        occlusion: share of the faces behind glasses, a scarf, a hand or a patch.
        intensity: lowest and highest, in [0, 1], uniform between them.
        pose: standard deviation of yaw in degrees, cut off at 2.5 of them; pitch and roll have 0.6 of it.
        light: highest strength of the light from one side, in [0, 1].
        noise: highest standard deviation of the pixel noise, 1 is the step from black to white.
        person_noise: standard deviation of a person's own offset in valence and arousal.
        faces_per_person: so many consecutive faces are of one person.
        start: number of the first face.

    Raises:
        UserError: an argument is out of its range.
    """
    _check_size(size, channels)
    columns = class_columns(classes)
    _check_counts({"n": (n, 1), "seed": (seed, 0), "faces_per_person": (faces_per_person, 1), "start": (start, 0)})
    _check_shares({"ambiguity": ambiguity, "occlusion": occlusion, "light": light, "noise": noise})
    if not 0.0 <= intensity[0] <= intensity[1] <= 1.0:
        raise UserError(f"intensity is {intensity}; expected (lowest, highest) with 0 <= lowest <= highest <= 1")
    if not 0.0 <= pose <= 24.0:
        raise UserError(f"pose is {pose}; expected 0 to 24 degrees", hint="faces turned beyond 60 are not drawn")
    if not 0.0 <= person_noise <= 1.0:
        raise UserError(f"person_noise is {person_noise}; expected 0 to 1")
    sampled = sample_faces(
        n, seed, classes=classes, ambiguity=ambiguity, occlusion=occlusion, intensity=intensity, pose=pose,
        light=light, noise=noise, person_noise=person_noise, faces_per_person=faces_per_person, start=start,
    )  # fmt: skip
    p = sampled.parameters
    images, covered = render(p, size, channels)
    mixture = np.asarray(p.mixture)[:, columns]
    entropy = -(mixture * np.log(np.where(mixture > 0.0, mixture, 1.0))).sum(axis=1) / np.log(len(columns))
    affect = circumplex(p.mixture, p.intensity) + sampled.person_offset
    return FaceSet(
        images=images,
        classes=tuple(VOCABULARY[k] for k in columns),
        distribution=mixture.astype(np.float32),
        label=mixture.astype(np.float32).argmax(axis=1),
        valence_arousal=np.clip(affect, -1.0, 1.0).astype(np.float32),
        person_offset=sampled.person_offset.astype(np.float32),
        ambiguity=entropy.astype(np.float32),
        intensity=np.asarray(p.intensity, dtype=np.float32),
        yaw=np.asarray(p.yaw, dtype=np.float32),
        pitch=np.asarray(p.pitch, dtype=np.float32),
        roll=np.asarray(p.roll, dtype=np.float32),
        light=np.stack([p.light_azimuth, p.light_elevation, p.light_strength], axis=1).astype(np.float32),
        occlusion=covered,
        group=sampled.group,
        parameters=p,
    )


def write_faces(
    folder: str | PathLike[str],
    n_train: int,
    n_valid: int,
    n_test: int,
    seed: int,
    *,
    faces_per_person: int = 8,
    **options: Any,
) -> Path:
    """Draw three splits, write PNGs and then `manifest.csv`; nobody is in two splits.

    Args:
        folder: made when missing; holds `manifest.csv` and `train/`, `valid/`, `test/`.
        n_train, n_valid, n_test: faces in each split; one split may grow without a change in the others.
        seed: as in `draw_faces`.
        faces_per_person: as in `draw_faces`.
        options: the other arguments of `draw_faces`.

    Returns:
        Path of the manifest: path, label, p_<class>, valence, arousal, split, group, ambiguity,
            intensity, occlusion.

    Raises:
        UserError: an argument is out of its range, or the folder can't be written to.
    """
    folder = Path(folder)
    _check_counts({"n_train": (n_train, 0), "n_valid": (n_valid, 0), "n_test": (n_test, 0)})
    if n_train + n_valid + n_test == 0:
        raise UserError("no faces to write: n_train, n_valid and n_test are all 0")
    tables = []
    for k, (split, n) in enumerate(zip(_SPLITS, (n_train, n_valid, n_test), strict=True)):
        if n == 0:
            continue
        start = k * _SPLIT_PEOPLE * faces_per_person
        faces = draw_faces(n, seed, faces_per_person=faces_per_person, start=start, **options)
        paths = [f"{split}/{i:06d}.png" for i in range(n)]
        _write_images(folder, paths, faces.images)
        tables.append(_table(faces, paths, split))
    # last, so that a manifest never names an image that is not there yet
    with atomic_write(folder / "manifest.csv", "w") as stream:
        pd.concat(tables).to_csv(stream, index=False, float_format="%.6f")
    return folder / "manifest.csv"


def _write_images(folder: Path, paths: Sequence[str], images: np.ndarray) -> None:
    try:
        for name in {Path(path).parent for path in paths}:
            (folder / name).mkdir(parents=True, exist_ok=True)
        for path, image in zip(paths, images, strict=True):
            Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(folder / path, compress_level=1)
    except OSError as error:
        raise UserError(
            f"can't write the drawn faces to {folder}: {error.strerror or error}",
            hint="choose another folder",
        ) from error


def _table(faces: FaceSet, paths: Sequence[str], split: str) -> pd.DataFrame:
    shares = {f"p_{name}": faces.distribution[:, k] for k, name in enumerate(faces.classes)}
    return pd.DataFrame(
        {
            "path": paths,
            "label": [faces.classes[k] for k in faces.label],
            **shares,
            "valence": faces.valence_arousal[:, 0],
            "arousal": faces.valence_arousal[:, 1],
            "split": split,
            "group": faces.group,
            "ambiguity": faces.ambiguity,
            "intensity": faces.intensity,
            "occlusion": faces.occlusion,
        }
    )


def _check_size(size: int, channels: int) -> None:
    if not 16 <= size <= 2048:
        raise UserError(f"size is {size}; expected 16 to 2048 pixels")
    if channels not in (1, 3):
        raise UserError(f"channels is {channels}; expected 1 (grey) or 3 (RGB)")


def _check_counts(values: dict[str, tuple[int, int]]) -> None:
    for name, (value, lowest) in values.items():
        if not isinstance(value, int | np.integer) or value < lowest:
            raise UserError(f"{name} is {value}; expected a whole number, {lowest} or more")


def _check_shares(values: dict[str, float]) -> None:
    for name, value in values.items():
        if not 0.0 <= value <= 1.0:
            raise UserError(f"{name} is {value}; expected a share between 0 and 1")
