"""Augmentation: exact changes against brute force, resampling against scipy, draws against their laws."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from kinesics.data.augment import Augment, AugmentConfig, _draw, _named, normalise
from kinesics.errors import UserError

torch.set_num_threads(1)

RAW = {"mean": 0.0, "std": 1.0 / 255.0}
"""With these constants the output is the pixel value itself (to float32 rounding)."""


def pictures(batch: int, height: int, width: int, channels: int, seed: int = 0) -> torch.Tensor:
    values = np.random.default_rng(seed).integers(0, 256, (batch, height, width, channels), dtype=np.uint8)
    return torch.from_numpy(values)


def smooth(batch: int, height: int, width: int, channels: int) -> torch.Tensor:
    noise = np.random.default_rng(3).normal(size=(batch, height, width, channels))
    blurred = ndimage.gaussian_filter(noise, (0, 2, 2, 0))
    scaled = (blurred - blurred.min()) / (blurred.max() - blurred.min())
    return torch.from_numpy((255 * scaled).astype(np.uint8))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def raw(config: AugmentConfig, images: torch.Tensor, seed: int = 0) -> np.ndarray:
    """Augmented pixels in [0, 255] as (B, H, W, C) float32."""
    return Augment(config, **RAW)(images, seeded(seed)).permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("channels", [1, 3])
def test_everything_off_is_the_normalisation_to_the_last_bit(channels: int) -> None:
    images = pictures(5, 9, 12, channels)
    mean, std = [0.485, 0.456, 0.406][:channels], [0.229, 0.224, 0.225][:channels]
    out = Augment(AugmentConfig.none(), mean, std)(images, seeded())
    assert torch.equal(out, normalise(images, mean, std))
    expected = (images.numpy().astype(np.float64) / 255 - np.array(mean)) / np.array(std)
    np.testing.assert_allclose(out.permute(0, 2, 3, 1).numpy(), expected, atol=1e-6)
    assert out.dtype == torch.float32 and out.shape == (5, channels, 9, 12)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("config", [AugmentConfig(), AugmentConfig(rotate=5.0), AugmentConfig(crop_pad=2, erase=0.5)])
def test_memory_is_channels_last_and_the_input_is_untouched(config: AugmentConfig, channels: int) -> None:
    images = pictures(4, 8, 8, channels)
    before = images.clone()
    out = Augment(config, 0.5, 0.5)(images, seeded())
    assert out.stride() == (64 * channels, 1, 8 * channels, channels)
    assert torch.equal(images, before)


def test_one_value_for_all_channels_equals_one_per_channel() -> None:
    images = pictures(3, 6, 6, 3)
    assert torch.equal(normalise(images, 0.4, 0.3), normalise(images, [0.4] * 3, [0.3] * 3))


@pytest.mark.parametrize("probability", [0.0, 0.5, 1.0])
def test_flip_is_the_exact_mirror_or_the_exact_image(probability: float) -> None:
    images = pictures(400, 5, 7, 3)
    out = raw(AugmentConfig(flip=probability), images)
    source = images.numpy()
    mirrored = [
        np.allclose(out[i], source[i, :, ::-1], atol=1e-4) and not np.allclose(out[i], source[i], atol=1e-4)
        for i in range(400)
    ]
    kept = [np.allclose(out[i], source[i], atol=1e-4) for i in range(400)]
    assert all(m != k for m, k in zip(mirrored, kept, strict=True))
    assert abs(np.mean(mirrored) - probability) <= 4 * math.sqrt(probability * (1 - probability) / 400)


@pytest.mark.parametrize("fill", ["zero", "border"])
@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_crop_is_exactly_one_window_of_the_padded_image(fill: str, flip: float) -> None:
    pad, height, width = 2, 6, 9
    images = pictures(300, height, width, 3)
    out = raw(AugmentConfig(flip=flip, crop_pad=pad, fill=fill), images).round()
    mode = {"mode": "constant"} if fill == "zero" else {"mode": "edge"}
    seen = np.zeros((2 * pad + 1, 2 * pad + 1), dtype=int)
    for i in range(300):
        padded = np.pad(images[i].numpy(), ((pad, pad), (pad, pad), (0, 0)), **mode)
        matches = []
        for top, left in itertools.product(range(2 * pad + 1), repeat=2):
            window = padded[top : top + height, left : left + width]
            if np.array_equal(out[i], window[:, ::-1] if flip else window):
                matches.append((top, left))
        assert len(matches) == 1
        seen[matches[0]] += 1
    # 25 equally likely windows, 12 expected in each: chi-square with 24 degrees of freedom, p = 1e-4
    assert seen.min() > 0
    assert ((seen - 12.0) ** 2 / 12.0).sum() < 58.6


def forward_matrix(draws: dict[str, np.ndarray], i: int, config: AugmentConfig, size: tuple[int, int]) -> np.ndarray:
    """Homogeneous matrix on (x, y) from the image's centre: crop, then flip, zoom, rotation, shift."""
    height, width = size

    def moved(x: float, y: float) -> np.ndarray:
        return np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]])

    choices = 2 * config.crop_pad + 1
    crop = moved(
        config.crop_pad - int(draws["crop_x"][i] * choices),
        config.crop_pad - int(draws["crop_y"][i] * choices),
    )
    mirror = np.diag([-1.0 if draws["flip"][i] < config.flip else 1.0, 1, 1])
    factor = 1 + config.scale * draws["scale"][i]
    angle = np.deg2rad(config.rotate * draws["rotate"][i])
    rotation = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    shift = moved(config.shift * width * draws["shift_x"][i], config.shift * height * draws["shift_y"][i])
    return shift @ rotation @ np.diag([factor, factor, 1]) @ mirror @ crop


@pytest.mark.parametrize(
    "config",
    [
        AugmentConfig(flip=0.0, rotate=40),
        AugmentConfig(flip=0.5, rotate=15, scale=0.3, shift=0.2),
        AugmentConfig(flip=0.5, rotate=15, scale=0.3, shift=0.1, crop_pad=3),
        AugmentConfig(flip=0.5, rotate=15, scale=0.3, shift=0.2, crop_pad=3, fill="zero"),
    ],
)
@pytest.mark.parametrize("size", [(20, 20), (14, 23)])
def test_affine_part_against_scipy(config: AugmentConfig, size: tuple[int, int]) -> None:
    images = smooth(6, *size, 2)
    out = raw(config, images, seed=5)
    draws = {name: row.double().numpy() for name, row in _named(_draw(6, seeded(5))).items()}
    centre = (np.array(size) - 1) / 2
    for i in range(6):
        inverse = np.linalg.inv(forward_matrix(draws, i, config, size))
        linear = inverse[:2, :2][::-1, ::-1]  # scipy counts (row, column)
        offset = inverse[:2, 2][::-1] + centre - linear @ centre
        for channel in range(2):
            expected = ndimage.affine_transform(
                images[i, :, :, channel].numpy().astype(np.float64),
                linear,
                offset,
                order=1,
                mode="nearest" if config.fill == "border" else "grid-constant",
            )
            np.testing.assert_allclose(out[i, :, :, channel], expected, atol=2e-2)


def test_a_rotation_turns_by_the_angle_it_draws() -> None:
    """The spot right of the centre lies, after a rotation, at the drawn angle, clockwise on the screen."""
    images = torch.zeros(8, 41, 41, 1, dtype=torch.uint8)
    images[:, 19:22, 34:37] = 255
    out = raw(AugmentConfig(flip=0.0, rotate=60), images, seed=2)[..., 0].astype(np.float64)
    angles = 60 * _named(_draw(8, seeded(2)))["rotate"].numpy()
    rows, columns = np.mgrid[:41, :41] - 20
    found = np.rad2deg(
        np.arctan2((out * rows).sum((1, 2)) / out.sum((1, 2)), (out * columns).sum((1, 2)) / out.sum((1, 2)))
    )
    np.testing.assert_allclose(found, angles, atol=0.5)
    assert np.ptp(angles) > 30


def test_light_against_the_formula() -> None:
    images = pictures(200, 6, 6, 3)
    config = AugmentConfig(flip=0.0, brightness=0.2, contrast=0.5)
    mean, std = np.array([0.5, 0.4, 0.3]), np.array([0.3, 0.2, 0.25])
    out = Augment(config, list(mean), list(std))(images, seeded(1)).permute(0, 2, 3, 1).numpy().astype(np.float64)
    lit = out * std + mean
    source = images.numpy() / 255.0
    centres = source.mean((1, 2, 3), keepdims=True)
    changes = (lit - source).mean((1, 2, 3))
    gains = np.array([np.polyfit((source - centres)[i].ravel(), lit[i].ravel(), 1)[0] for i in range(200)])
    np.testing.assert_allclose(
        lit,
        centres + gains[:, None, None, None] * (source - centres) + changes[:, None, None, None],
        atol=1e-5,
    )
    for values, largest in ((changes, 0.2), (gains - 1, 0.5)):
        assert -largest <= values.min() < -0.9 * largest
        assert 0.9 * largest < values.max() <= largest
        assert abs(values.mean()) < 4 * largest / math.sqrt(3 * 200)


@pytest.mark.parametrize("largest", [0.02, 0.1, 0.33])
def test_erased_boxes_are_in_range_and_hold_uniform_noise(largest: float) -> None:
    height, width = 80, 100
    images = torch.full((300, height, width, 1), 100, dtype=torch.uint8)
    out = raw(AugmentConfig(flip=0.0, erase=0.5, erase_area=largest), images)[..., 0].round()
    erased = 0
    noise = []
    for picture in out:
        changed = picture != 100
        if not changed.any():
            continue
        erased += 1
        rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
        box_height, box_width = np.ptp(rows) + 1, np.ptp(columns) + 1
        # one noise pixel in 256 equals the background, so the box is filled, not merely framed
        inside = changed[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert inside.mean() > 0.95
        slack = (0.5 * (box_height + box_width) + 0.25) / (height * width)  # each side is rounded by up to a half
        share = box_height * box_width / (height * width)
        assert 0.02 - slack <= share <= largest + slack
        assert 0.3 * 0.85 <= box_height / box_width <= 1.15 / 0.3
        noise.append(picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].ravel())
    assert abs(erased / 300 - 0.5) < 4 * math.sqrt(0.25 / 300)
    values = np.concatenate(noise)
    counts = np.bincount(values.astype(int), minlength=256)
    assert len(counts) == 256
    expected = len(values) / 256
    # chi-square with 255 degrees of freedom: mean 255, standard deviation 22.6
    assert ((counts - expected) ** 2 / expected).sum() < 255 + 5 * 22.6


def test_erased_boxes_reach_every_part_of_the_image() -> None:
    images = torch.full((600, 16, 16, 1), 7, dtype=torch.uint8)
    changed = raw(AugmentConfig(flip=0.0, erase=1.0), images)[..., 0].round() != 7
    assert changed.any(0).all()
    assert changed.any((1, 2)).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1), (3, 40)])
def test_narrow_images_survive_everything(shape: tuple[int, int]) -> None:
    config = AugmentConfig(
        rotate=30, scale=0.5, shift=0.5, crop_pad=2, brightness=0.3, contrast=0.3, erase=1.0, erase_area=1.0
    )
    out = Augment(config, 0.5, 0.5)(pictures(8, *shape, 3), seeded())
    assert out.shape == (8, 3, *shape) and out.isfinite().all()


EVERYTHING = AugmentConfig(rotate=20, scale=0.2, shift=0.1, crop_pad=2, brightness=0.2, contrast=0.2, erase=0.5)


@pytest.mark.parametrize("config", [EVERYTHING, AugmentConfig(crop_pad=4, fill="zero", erase=0.5)])
def test_the_generator_alone_decides(config: AugmentConfig) -> None:
    images = pictures(6, 12, 12, 3)
    augment = Augment(config, 0.5, 0.25)
    torch.manual_seed(1)
    first = augment(images, seeded(9))
    torch.manual_seed(2)
    assert torch.equal(first, augment(images, seeded(9)))
    assert not torch.equal(first, augment(images, seeded(10)))
    generator = seeded(9)
    augment(images, generator)
    assert not torch.equal(first, augment(images, generator))


def test_two_views_differ_in_what_is_erased_alone() -> None:
    """The first is what a plain call gives; where neither is erased both are what no erasing gives."""
    geometry = {"rotate": 20, "scale": 0.2, "shift": 0.1, "crop_pad": 2, "brightness": 0.2}
    images = smooth(40, 20, 20, 3)
    augment = Augment(AugmentConfig(erase=1.0, erase_area=0.25, **geometry), 0.5, 0.25)
    first, second = augment.erased_twice(images, seeded(9))
    assert torch.equal(first, augment(images, seeded(9)))
    untouched = Augment(AugmentConfig(**geometry), 0.5, 0.25)(images, seeded(9))
    erased = [(view != untouched).any(1) for view in (first, second)]
    for place in erased:
        share = place.flatten(1).double().mean(1)
        assert (share > 0.01).all() and (share < 0.29).all()
    assert (erased[0] != erased[1]).flatten(1).any(1).all()
    both = (erased[0] & erased[1]).double().mean()
    assert both < 0.6 * erased[0].double().mean()  # boxes of their own


def test_a_saved_generator_state_continues_the_stream() -> None:
    images, augment, generator = pictures(6, 12, 12, 1), Augment(EVERYTHING, 0.5, 0.25), seeded(4)
    augment(images, generator)
    state = generator.get_state()
    expected = augment(images, generator)
    other = torch.Generator()
    other.set_state(state)
    assert torch.equal(expected, augment(images, other))


@pytest.mark.parametrize(
    "config",
    [
        AugmentConfig(flip=0.0, rotate=20),
        AugmentConfig(flip=0.0, scale=0.3),
        AugmentConfig(flip=0.0, shift=0.2),
        AugmentConfig(flip=0.0, brightness=0.5),
        AugmentConfig(flip=0.0, contrast=0.5),
        AugmentConfig(flip=0.0, erase=1.0),
    ],
)
def test_equal_images_in_a_batch_get_different_draws(config: AugmentConfig) -> None:
    images = smooth(1, 16, 16, 1).expand(12, -1, -1, -1)
    out = raw(config, images)
    for i, j in itertools.combinations(range(12), 2):
        assert not np.array_equal(out[i], out[j])


def test_an_image_does_not_depend_on_its_neighbours() -> None:
    images = pictures(6, 10, 10, 3)
    others = images.clone()
    others[1:] = 0
    augment = Augment(EVERYTHING, 0.5, 0.25)
    assert torch.equal(augment(images, seeded(3))[0], augment(others, seeded(3))[0])


def test_turning_one_change_on_leaves_the_draws_of_the_others() -> None:
    images = pictures(30, 10, 10, 1)
    flipped = raw(AugmentConfig(flip=0.5), images, seed=8)
    brighter = raw(AugmentConfig(flip=0.5, brightness=0.1), images, seed=8)
    difference = brighter - flipped
    np.testing.assert_allclose(difference, difference[:, :1, :1].repeat(10, 1).repeat(10, 2), atol=1e-3)


def test_an_empty_batch_stays_empty() -> None:
    images = torch.empty(0, 8, 8, 1, dtype=torch.uint8)
    assert Augment(EVERYTHING, 0.5, 0.25)(images, seeded()).shape == (0, 1, 8, 8)


@pytest.mark.parametrize(
    ("field", "value", "accepted"),
    [
        ("flip", 1.5, "[0, 1]"),
        ("flip", "yes", "[0, 1]"),
        ("rotate", -1, "[0, 180]"),
        ("scale", 1.0, "[0, 1)"),
        ("shift", math.nan, "[0, 1]"),
        ("crop_pad", 1.5, "[0, 1024]"),
        ("crop_pad", -1, "[0, 1024]"),
        ("crop_pad", True, "[0, 1024]"),
        ("fill", "mirror", "border, zero"),
        ("brightness", 2, "[0, 1]"),
        ("contrast", -0.1, "[0, 1]"),
        ("erase", 1.01, "[0, 1]"),
        ("erase_area", 0.01, "[0.02, 1]"),
    ],
)
def test_bad_settings_name_the_field_the_value_and_the_range(field: str, value: object, accepted: str) -> None:
    with pytest.raises(UserError) as caught:
        AugmentConfig(**{field: value})
    assert f"augment.{field} is {value!r}" in caught.value.message
    assert accepted in caught.value.message and caught.value.hint


@pytest.mark.parametrize(
    ("mean", "std"),
    [(0.5, 0.0), (0.5, -1.0), ([0.5, 0.5], [0.5]), ([], []), (math.nan, 1.0), (0.5, math.inf)],
)
def test_bad_constants(mean: object, std: object) -> None:
    with pytest.raises(UserError):
        Augment(AugmentConfig(), mean, std)


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(2, 4, 4, 1),
        torch.zeros(4, 4, 1, dtype=torch.uint8),
        torch.zeros(2, 4, 4, 2, dtype=torch.uint8),
    ],
)
def test_bad_images(images: torch.Tensor) -> None:
    with pytest.raises(UserError):
        Augment(AugmentConfig(), [0.5] * 3, [0.5] * 3)(images, seeded())
    with pytest.raises(UserError):
        normalise(images, [0.5] * 3, [0.5] * 3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("config", [EVERYTHING, AugmentConfig(crop_pad=4, erase=0.5)])
def test_cuda_agrees_with_the_cpu(config: AugmentConfig) -> None:
    images, augment = pictures(6, 12, 12, 3), Augment(config, 0.5, 0.25)
    on_device = augment(images.cuda(), seeded(1))
    assert on_device.is_cuda
    torch.testing.assert_close(on_device.cpu(), augment(images, seeded(1)), atol=1e-3, rtol=1e-4)
