from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from kinesics.data import manifest as manifests
from kinesics.data.emotions import BASIC, CIRCUMPLEX, VOCABULARY
from kinesics.data.synthetic.action_units import ACTION_UNITS, PROTOTYPES, action_units
from kinesics.data.synthetic.face_drawing import render
from kinesics.data.synthetic.face_geometry import FaceParameters, Person
from kinesics.data.synthetic.face_sampling import CONFUSION, sample_people
from kinesics.data.synthetic.faces import FaceSet, draw_face, draw_faces, write_faces
from kinesics.errors import UserError

SIZE = 192
EMFACS = {
    # Ekman, Friesen and Hager 2002: the units that every variant of the prototype has
    "neutral": (),
    "happiness": ("cheek_raise", "lip_corner_pull_left", "lip_corner_pull_right"),
    "sadness": ("inner_brow_raise", "brow_lower", "lip_corner_depress"),
    "surprise": ("inner_brow_raise", "outer_brow_raise", "upper_lid_raise", "jaw_drop"),
    "fear": ("inner_brow_raise", "outer_brow_raise", "brow_lower", "upper_lid_raise", "lip_stretch"),
    "disgust": ("nose_wrinkle", "upper_lip_raise"),
    "anger": ("brow_lower", "upper_lid_raise", "lid_tighten", "lip_press"),
    "contempt": ("lip_corner_pull_right", "dimple_right"),
}


def pure(emotion: str) -> np.ndarray:
    return np.eye(len(VOCABULARY))[VOCABULARY.index(emotion)]


def grey(parameters: FaceParameters, size: int = SIZE) -> np.ndarray:
    """(N, size, size) float64 pictures, 0 to 255."""
    return render(parameters, size, 1)[0][..., 0].astype(np.float64)


def row_of_dark(picture: np.ndarray, columns: slice, low: float, high: float) -> float:
    """Mean row of the dark pixels in some columns, between two heights given as shares of the picture."""
    start = int(low * len(picture))
    part = picture[start : int(high * len(picture)), columns]
    dark = part < 0.5 * (part.min() + np.median(part))
    return float(np.nonzero(dark)[0].mean() + start)


def centred(x: float, half: float = 0.02) -> slice:
    """Columns around `x` head units from the middle of a picture drawn with the default scale."""
    middle = (0.95 * x + 1.0) / 2.0
    return slice(int((middle - half) * SIZE), int((middle + half) * SIZE))


@pytest.fixture(scope="module")
def faces() -> FaceSet:
    return draw_faces(600, seed=3, size=24, ambiguity=0.4)


# --- lots ---------------------------------------------------------------------------------------------------


def test_same_seed_same_bytes_and_another_seed_others() -> None:
    one, again, other = (draw_faces(20, seed=s, channels=3) for s in (5, 5, 6))
    for field in dataclasses.fields(FaceSet):
        if field.name not in ("classes", "parameters"):
            assert getattr(one, field.name).tobytes() == getattr(again, field.name).tobytes(), field.name
    assert one.images.tobytes() != other.images.tobytes()
    assert one.distribution.tobytes() != other.distribution.tobytes()


def test_a_larger_set_continues_a_smaller_one() -> None:
    small, large = draw_faces(7, seed=1), draw_faces(50, seed=1)
    late = draw_faces(10, seed=1, start=40)
    for name in ("images", "distribution", "label", "valence_arousal", "yaw", "light", "occlusion", "group"):
        np.testing.assert_array_equal(getattr(small, name), getattr(large, name)[:7], err_msg=name)
        np.testing.assert_array_equal(getattr(late, name), getattr(large, name)[40:], err_msg=name)


def test_a_nuisance_turned_off_leaves_the_rest_as_it_was() -> None:
    plain = draw_faces(64, seed=2, occlusion=0.0, noise=0.0)
    hard = draw_faces(64, seed=2, occlusion=1.0, noise=0.1)
    np.testing.assert_array_equal(plain.distribution, hard.distribution)
    np.testing.assert_array_equal(plain.yaw, hard.yaw)
    assert (plain.occlusion == 0.0).all()
    assert (hard.occlusion > 0.0).mean() > 0.8


def test_identities_repeat_and_look_the_same() -> None:
    faces = draw_faces(20, seed=0, faces_per_person=5, size=16)
    assert faces.group.tolist() == [k // 5 for k in range(20)]
    for trait in ("skin", "head_width", "hair"):
        values = getattr(faces.parameters.person, trait)
        assert len(np.unique(values)) == 4
        assert (values.reshape(4, 5) == values.reshape(4, 5)[:, :1]).all()


# --- truth --------------------------------------------------------------------------------------------------


def test_shapes_types_and_ranges(faces: FaceSet) -> None:
    n, c = 600, 7
    assert len(faces) == n
    assert faces.classes == BASIC
    for name, shape, dtype in (
        ("images", (n, 24, 24, 1), np.uint8),
        ("distribution", (n, c), np.float32),
        ("label", (n,), np.int64),
        ("valence_arousal", (n, 2), np.float32),
        ("ambiguity", (n,), np.float32),
        ("intensity", (n,), np.float32),
        ("occlusion", (n,), np.float32),
        ("light", (n, 3), np.float32),
        ("group", (n,), np.int64),
    ):
        value = getattr(faces, name)
        assert (value.shape, value.dtype) == (shape, dtype), name
    assert np.abs(faces.valence_arousal).max() <= 1.0
    assert faces.intensity.min() >= 0.6
    assert faces.intensity.max() <= 1.0
    assert 0.0 <= faces.occlusion.min() < faces.occlusion.max() <= 1.0
    assert faces.images.min() < 40
    assert faces.images.max() > 215


def test_distributions_are_distributions_and_the_label_is_their_majority(faces: FaceSet) -> None:
    assert (faces.distribution >= 0.0).all()
    np.testing.assert_allclose(faces.distribution.sum(axis=1), 1.0, atol=1e-6)
    for shares, label in zip(faces.distribution.tolist(), faces.label.tolist(), strict=True):
        assert shares[label] == max(shares)
        assert sorted(shares)[-2] < max(shares)


def test_the_asked_share_is_ambiguous_and_classes_are_balanced(faces: FaceSet) -> None:
    top = faces.distribution.max(axis=1)
    # 4 standard deviations of a binomial share
    assert abs((top < 0.8).mean() - 0.4) < 4 * math.sqrt(0.4 * 0.6 / 600)
    assert np.abs(np.bincount(faces.label, minlength=7) / 600 - 1 / 7).max() < 4 * math.sqrt(6 / 49 / 600)
    assert (draw_faces(100, 0, ambiguity=0.0, size=16).distribution.max(axis=1) >= 0.8).all()
    assert (draw_faces(100, 0, ambiguity=1.0, size=16).distribution.max(axis=1) < 0.8).all()


def test_ambiguity_is_the_normalised_entropy(faces: FaceSet) -> None:
    for shares, value in zip(faces.distribution[:50].tolist(), faces.ambiguity[:50].tolist(), strict=True):
        entropy = -sum(p * math.log(p) for p in shares if p > 0.0)
        assert value == pytest.approx(entropy / math.log(7), abs=1e-5)


def test_valence_and_arousal_follow_the_circumplex(faces: FaceSet) -> None:
    for k in range(50):
        for axis in (0, 1):
            mean = sum(p * CIRCUMPLEX[name][axis] for p, name in zip(faces.distribution[k], faces.classes, strict=True))
            expected = float(faces.intensity[k]) * mean + float(faces.person_offset[k, axis])
            assert faces.valence_arousal[k, axis] == pytest.approx(max(-1.0, min(1.0, expected)), abs=1e-5)
    assert len(np.unique(faces.person_offset[:, 0])) == 600 / 8
    assert 0.03 < faces.person_offset.std() < 0.07
    assert (draw_faces(9, 0, person_noise=0.0, size=16).person_offset == 0.0).all()


def test_votes_are_drawn_from_the_distribution(faces: FaceSet) -> None:
    votes = faces.votes(10, np.random.default_rng(0))
    assert votes.dtype == np.int64
    assert (votes.sum(axis=1) == 10).all()
    assert (votes[faces.distribution == 0.0] == 0).all()
    many = faces.votes(100_000, np.random.default_rng(0)) / 100_000
    assert np.abs(many - faces.distribution).max() < 5 * math.sqrt(0.25 / 100_000)


def test_classes_can_be_chosen_in_any_order() -> None:
    faces = draw_faces(60, seed=0, size=16, classes=("contempt", "Happy", "neutral"))
    assert faces.classes == ("contempt", "happiness", "neutral")
    mixture = np.asarray(faces.parameters.mixture)
    np.testing.assert_allclose(mixture[:, [7, 1, 0]], faces.distribution, atol=1e-6)
    assert (np.delete(mixture, [7, 1, 0], axis=1) == 0.0).all()
    two = draw_faces(30, seed=0, size=16, classes=("fear", "surprise"), ambiguity=1.0)
    np.testing.assert_allclose(two.distribution.sum(axis=1), 1.0, atol=1e-6)
    assert two.distribution.min() > 0.2


def test_confusions_are_those_of_the_ferplus_votes(shared) -> None:  # type: ignore[no-untyped-def]
    path = shared / "data" / "ferplus" / "labels.csv"
    if not path.is_file():
        pytest.skip("no FER+ votes beside the repository")
    table = pd.read_csv(path)
    votes = table.loc[table.usage == "Training", [f"v_{name}" for name in VOCABULARY]].to_numpy(float)
    votes = votes[votes.sum(axis=1) >= 8]
    votes /= votes.sum(axis=1, keepdims=True)
    means = np.array([votes[votes.argmax(axis=1) == k].mean(axis=0) for k in range(8)])
    np.fill_diagonal(means, 0.0)
    np.testing.assert_allclose(CONFUSION, means / means.sum(axis=1, keepdims=True), atol=0.006)


# --- expression ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("emotion", VOCABULARY)
def test_prototypes_hold_the_units_of_emfacs(emotion: str) -> None:
    for variant in (0, 1):
        units = dict(zip(ACTION_UNITS, PROTOTYPES[VOCABULARY.index(emotion), variant], strict=True))
        assert all(units[name] >= 0.2 for name in EMFACS[emotion])
        assert all(0.0 <= strength <= 1.0 for strength in units.values())
    if emotion not in ("happiness", "contempt"):
        assert units["lip_corner_pull_left"] == units["lip_corner_pull_right"] == 0.0
    if emotion not in ("sadness", "surprise", "fear"):
        assert units["inner_brow_raise"] == 0.0


def test_action_units_are_linear_in_mixture_and_intensity() -> None:
    rng = np.random.default_rng(0)
    mixture = rng.dirichlet(np.ones(8), size=5)
    units = action_units(mixture, 0.7, variant=0.25)
    for row, shares in zip(units, mixture, strict=True):
        expected = sum(0.7 * p * (0.75 * PROTOTYPES[k, 0] + 0.25 * PROTOTYPES[k, 1]) for k, p in enumerate(shares))
        np.testing.assert_allclose(row, expected, atol=1e-12)


def test_happiness_raises_and_sadness_lowers_the_corners_of_the_drawn_mouth() -> None:
    intensity = np.linspace(0.0, 1.0, 5)
    for emotion, sign in (("happiness", 1.0), ("sadness", -1.0)):
        pictures = grey(FaceParameters(pure(emotion), intensity=intensity, variant=1.0, person=Person(age=0.0)))
        bend = [
            row_of_dark(p, centred(0.0), 0.6, 0.85)
            - 0.5 * sum(row_of_dark(p, centred(side * 0.19), 0.6, 0.85) for side in (-1, 1))
            for p in pictures
        ]
        steps = sign * np.diff(bend)
        assert (steps > 0.0).all(), (emotion, bend)
        assert sign * (bend[-1] - bend[0]) > 0.025 * SIZE


def test_contempt_raises_one_corner_only() -> None:
    person = Person(age=0.0)
    for mirrored in (False, True):
        rest, smirk = grey(
            FaceParameters(pure("contempt"), intensity=np.array([0.0, 1.0]), mirrored=mirrored, person=person)
        )
        left, right = (
            row_of_dark(rest, centred(x), 0.6, 0.85) - row_of_dark(smirk, centred(x), 0.6, 0.85) for x in (-0.2, 0.2)
        )
        raised, still = (left, right) if mirrored else (right, left)
        assert raised > 0.015 * SIZE
        assert abs(still) < 0.5 * raised


def test_surprise_opens_the_mouth_and_the_eyes_of_the_drawn_face() -> None:
    pictures = grey(FaceParameters(pure("surprise"), intensity=np.linspace(0.0, 1.0, 5)))
    middle = slice(int(0.4 * SIZE), int(0.6 * SIZE))
    mouth = [(p[int(0.6 * SIZE) :, middle] < 40).sum() for p in pictures]
    eyes = [(p[int(0.3 * SIZE) : int(0.5 * SIZE)] > 225).sum() for p in pictures]
    assert (np.diff(mouth)[1:] > 0).all(), mouth
    assert (np.diff(eyes) > 0).all(), eyes


def test_anger_lowers_and_fear_raises_the_inner_brow_of_the_drawn_face() -> None:
    for emotion, sign in (("anger", 1.0), ("fear", -1.0), ("sadness", -1.0)):
        bald = Person(hair_length=0.0)
        pictures = grey(FaceParameters(pure(emotion), intensity=np.linspace(0.0, 1.0, 5), person=bald))
        rows = [row_of_dark(p, centred(0.15), 0.15, 0.4) for p in pictures]
        assert (sign * np.diff(rows) > 0.0).all(), (emotion, rows)


def test_a_blend_lies_between_its_parts() -> None:
    shares = np.linspace(0.0, 1.0, 5)[:, None]
    pictures = grey(FaceParameters((1.0 - shares) * pure("anger") + shares * pure("surprise")))
    to_first = [np.abs(p - pictures[0]).mean() for p in pictures]
    to_last = [np.abs(p - pictures[-1]).mean() for p in pictures]
    assert (np.diff(to_first) > 0.0).all()
    assert (np.diff(to_last) < 0.0).all()


# --- camera -------------------------------------------------------------------------------------------------


def eyes_of(parameters: FaceParameters) -> np.ndarray:
    """(N, 2, 2) row and column of the whites of the left and the right eye, by brightness."""
    places = []
    for picture in grey(parameters):
        rows, columns = np.nonzero(picture[: int(0.62 * SIZE)] > 228)
        left = columns < columns.mean()
        places.append([(rows[side].mean(), columns[side].mean()) for side in (left, ~left)])
    return np.array(places)


def test_pose_turns_the_way_it_says() -> None:
    wide = dataclasses.replace(
        FaceParameters(pure("surprise")), person=Person(skin=0.6), background=0.1, light_strength=0.0
    )
    turned = eyes_of(dataclasses.replace(wide, yaw=np.array([-25.0, 0.0, 25.0])))
    assert (np.diff(turned[:, :, 1].mean(axis=1)) > 0.1 * SIZE).all(), "positive yaw: to the right"
    assert turned[1, :, 1].mean() == pytest.approx(SIZE / 2, abs=1.0)
    nodded = eyes_of(dataclasses.replace(wide, pitch=np.array([-15.0, 0.0, 15.0])))
    assert (np.diff(nodded[:, :, 0].mean(axis=1)) < -0.05 * SIZE).all(), "positive pitch: looks up"
    leaned = eyes_of(dataclasses.replace(wide, roll=np.array([20.0])))[0]
    tilt = math.degrees(math.atan2(leaned[1, 0] - leaned[0, 0], leaned[1, 1] - leaned[0, 1]))
    assert tilt == pytest.approx(20.0, abs=1.5), "positive roll: clockwise, by so many degrees"
    above = (0.12 * 0.95) / 2.0 * SIZE  # eyes above the middle of the head, about which it leans
    assert leaned[:, 1].mean() - SIZE / 2 == pytest.approx(above * math.sin(math.radians(20.0)), abs=1.0)


def test_light_comes_from_where_it_says() -> None:
    base = FaceParameters(pure("neutral"), light_strength=np.array([0.8]))
    flat = grey(dataclasses.replace(base, light_strength=0.0))[0]
    ramp = np.linspace(-1.0, 1.0, SIZE)
    face = ellipse_mask() & (np.abs(ramp) < 0.5)
    for azimuth, elevation in ((70.0, 0.0), (-70.0, 0.0), (0.0, 60.0), (0.0, -60.0)):
        lit = grey(dataclasses.replace(base, light_azimuth=azimuth, light_elevation=elevation))[0] / flat
        to_the_right = (lit * ramp[None])[face].mean()
        downwards = (lit * ramp[:, None])[face].mean() - ramp[:, None].repeat(SIZE, 1)[face].mean() * lit[face].mean()
        if azimuth:
            assert to_the_right * azimuth > 1.0, (azimuth, to_the_right)
        else:
            assert downwards * elevation < -1.0, (elevation, downwards)


def test_occluders_cover_what_they_say() -> None:
    for settings in (
        {"occluder": 3, "occluder_tone": 0.0, "occluder_x": 0.1, "occluder_y": 0.3},
        {"occluder": 1, "occluder_y": 0.3},
        {"occluder": 2, "occluder_y": 0.2},
        {"glasses": 2},
    ):
        base = FaceParameters(pure("neutral"))
        free, nothing = render(base, SIZE, 1)
        covered, share = render(dataclasses.replace(base, **settings), SIZE, 1)
        changed = (np.abs(covered.astype(int) - free.astype(int)) > 3)[0, :, :, 0]
        changed &= ellipse_mask()
        assert nothing[0] == 0.0
        assert share[0] == pytest.approx(changed.sum() / below_brows().sum(), abs=0.05), settings


def ellipse_mask() -> np.ndarray:
    """The head of the default person and camera, from its definition."""
    ticks = (np.arange(SIZE) + 0.5) * 2.0 / SIZE - 1.0
    x, y = ticks[None] / 0.95, (ticks[:, None] + 0.06) / 0.95
    width = 0.78 * (1.0 - 0.25 * np.maximum(y, 0.0) ** 2)
    return (x / width) ** 2 + y**2 < 1.0


def below_brows() -> np.ndarray:
    ticks = (np.arange(SIZE) + 0.5) * 2.0 / SIZE - 1.0
    return ellipse_mask() & ((ticks[:, None] + 0.06) / 0.95 > -0.43)


# --- drawing ------------------------------------------------------------------------------------------------


def test_a_face_drawn_alone_equals_the_one_in_a_batch() -> None:
    faces = draw_faces(40, seed=9, size=32, channels=3, classes=VOCABULARY, occlusion=0.6, pose=20.0)
    for k in (0, 13, 39):
        np.testing.assert_array_equal(draw_face(faces.parameters.rows(k, k + 1), 32), faces.images[k])


def test_grey_pictures_are_the_luminance_of_the_coloured_ones() -> None:
    coloured = draw_faces(24, seed=4, size=32, channels=3, occlusion=0.5)
    plain = draw_faces(24, seed=4, size=32, channels=1, occlusion=0.5).images[..., 0]
    luminance = coloured.images @ np.array([0.299, 0.587, 0.114])
    unclipped = ((coloured.images > 0) & (coloured.images < 255)).all(axis=-1)
    assert unclipped.mean() > 0.7
    assert np.abs(plain - luminance)[unclipped].max() <= 1.01


def test_one_face_is_the_same_at_two_sizes() -> None:
    face = FaceParameters(pure("fear"), person=Person(skin=0.5), yaw=15.0)
    small, large = draw_face(face, 48), draw_face(face, 192)
    shrunk = np.asarray(Image.fromarray(large).resize((48, 48), Image.Resampling.BOX), dtype=np.float64)
    assert small.shape == (48, 48, 3)
    assert small.dtype == np.uint8
    assert np.abs(small - shrunk).mean() < 4.0


def test_a_film_of_one_person() -> None:
    person, _ = sample_people(np.array([7]), seed=0)
    film, _ = render(FaceParameters(pure("happiness"), intensity=np.linspace(0, 1, 6), person=person), 48)
    change = np.abs(np.diff(film.astype(int), axis=0)).mean(axis=(1, 2, 3))
    assert film.shape == (6, 48, 48, 3)
    assert ((change > 0.1) & (change < 6.0)).all()


# --- files --------------------------------------------------------------------------------------------------


def test_written_faces_and_manifest_agree(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = write_faces(tmp_path / "faces", 20, 9, 10, seed=3, size=24, classes=VOCABULARY, ambiguity=0.5)
    assert path == tmp_path / "faces" / "manifest.csv"
    columns = ["path", "label", *(f"p_{name}" for name in VOCABULARY), "valence", "arousal", "split", "group",
               "ambiguity", "intensity", "occlusion"]  # fmt: skip
    table = pd.read_csv(path)
    assert table.columns.tolist() == columns
    assert table.split.value_counts().to_dict() == {"train": 20, "valid": 9, "test": 10}
    people = [set(part.group) for _, part in table.groupby("split")]
    assert not (people[0] & people[1] or people[0] & people[2] or people[1] & people[2])
    faces = draw_faces(20, seed=3, size=24, classes=VOCABULARY, ambiguity=0.5)
    for k in range(20):
        with Image.open(path.parent / table.path[k]) as image:
            np.testing.assert_array_equal(np.asarray(image), faces.images[k, :, :, 0])

    manifest = manifests.read(path)
    assert manifest.classes == VOCABULARY
    train = manifest.rows("train")
    np.testing.assert_array_equal(train.labels(), faces.label)
    np.testing.assert_allclose(train.distributions(), faces.distribution, atol=1e-6)
    np.testing.assert_allclose(train.valence_arousal(), faces.valence_arousal, atol=1e-6)
    np.testing.assert_allclose(manifest.distributions().sum(axis=1), 1.0, atol=1e-5)
    np.testing.assert_array_equal(manifest.distributions().argmax(axis=1), manifest.labels())
    assert all(file.is_file() for file in manifest.files())


def test_one_split_grows_without_a_change_in_the_others(tmp_path) -> None:  # type: ignore[no-untyped-def]
    small = write_faces(tmp_path / "a", 3, 0, 4, seed=1, size=16, channels=3)
    large = write_faces(tmp_path / "b", 12, 0, 4, seed=1, size=16, channels=3)
    one, two = (pd.read_csv(p).query("split == 'test'").reset_index(drop=True) for p in (small, large))
    pd.testing.assert_frame_equal(one, two)
    for name in one.path:
        assert (small.parent / name).read_bytes() == (large.parent / name).read_bytes()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"n": 0}, "n is 0"),
        ({"n": 2.5}, "whole number"),
        ({"seed": -1}, "seed"),
        ({"size": 8}, "size"),
        ({"channels": 2}, "channels"),
        ({"classes": ("anger",)}, "two or more"),
        ({"classes": ("anger", "Angry")}, "two or more"),
        ({"classes": ("anger", "boredom")}, "boredom"),
        ({"ambiguity": 1.2}, "ambiguity"),
        ({"occlusion": -0.1}, "occlusion"),
        ({"intensity": (0.9, 0.1)}, "intensity"),
        ({"intensity": (0.5, float("nan"))}, "intensity"),
        ({"pose": 40.0}, "pose"),
        ({"light": 2.0}, "light"),
        ({"noise": -1.0}, "noise"),
        ({"person_noise": -1.0}, "person_noise"),
        ({"faces_per_person": 0}, "faces_per_person"),
        ({"start": -8}, "start"),
    ],
)
def test_bad_arguments_are_answered(change, word: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError, match=word):
        draw_faces(**{"n": 2, "seed": 0, **change})


def test_other_bad_input_is_answered(tmp_path, faces: FaceSet) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError, match="n_annotators"):
        faces.votes(0, np.random.default_rng(0))
    with pytest.raises(UserError, match="one face"):
        draw_face(faces.parameters)
    with pytest.raises(UserError, match="mixture"):
        FaceParameters(np.ones(7) / 7)
    with pytest.raises(UserError, match="n_valid"):
        write_faces(tmp_path, 1, -1, 1, seed=0)
    with pytest.raises(UserError, match="no faces"):
        write_faces(tmp_path, 0, 0, 0, seed=0)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="can't write"):
        write_faces(tmp_path / "file", 1, 0, 0, seed=0, size=16)
