"""Augmentation and normalisation of a whole batch of uint8 images, reproducible from one torch.Generator.

The order is: crop, flip, zoom, rotation, shift (one resampling for all five, or none when only the exact ones
are on), erasing, contrast and brightness, normalisation. Light comes after erasing, as it falls on the
occluder too; it is not clipped to the range of a byte, so it folds into the normalisation at no cost.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from kinesics.errors import UserError

ERASE_SMALLEST = 0.02
"""Smallest erased share of an image (s_l of Zhong et al.)."""

ERASE_RATIO = 0.3
"""The erased box's height / width lies in [0.3, 1 / 0.3] (r_1 of Zhong et al.)."""

Fill = Literal["border", "zero"]


@dataclass
class AugmentConfig:
    """What `Augment` changes, and by how much. Everything but the flip is off until it is asked for."""

    flip: float = 0.5
    """Probability of a left-right mirror image, in [0, 1]."""

    rotate: float = 0.0
    """Largest rotation in degrees, either way, in [0, 180]; uniform."""

    scale: float = 0.0
    """Largest relative zoom, in [0, 1): 0.1 draws a factor uniformly from 0.9 to 1.1."""

    shift: float = 0.0
    """Largest shift along each axis as a fraction of that side, in [0, 1]; uniform."""

    crop_pad: int = 0
    """Pixels added on every side before a random crop back to the size, 0 to 1024; 0 = off (LDLVA's release:
    4 at 112 px, 8 at 224 px)."""

    fill: Fill = "border"
    """What lies outside of the image for crop, rotation, zoom and shift: "border" repeats the outermost
    pixels, "zero" is black before normalisation (LDLVA's release)."""

    brightness: float = 0.0
    """Largest change added to every pixel as a fraction of the full range, in [0, 1]; uniform, either way."""

    contrast: float = 0.0
    """Largest relative change of the distance from the image's own mean, in [0, 1]; uniform, either way."""

    erase: float = 0.0
    """Probability that a random box is overwritten with uniform noise, in [0, 1] (Zhong et al. 2020; LDLVA's
    release: 0.5)."""

    erase_area: float = 0.33
    """Largest erased share of the image (s_h of Zhong et al.), in [0.02, 1]; the smallest is 0.02."""

    def __post_init__(self) -> None:
        for name in ("flip", "shift", "brightness", "contrast", "erase"):
            self._check(name, 0.0, 1.0)
        self._check("rotate", 0.0, 180.0)
        self._check("scale", 0.0, 1.0, open_end=True)
        self._check("erase_area", ERASE_SMALLEST, 1.0)
        if isinstance(self.crop_pad, bool) or not isinstance(self.crop_pad, int):
            raise _out_of_range("crop_pad", self.crop_pad, "a whole number in [0, 1024]")
        self._check("crop_pad", 0, 1024)
        if self.fill not in get_args(Fill):
            raise _out_of_range("fill", self.fill, f"one of {', '.join(get_args(Fill))}")

    def _check(self, name: str, low: float, high: float, open_end: bool = False) -> None:
        value = getattr(self, name)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not (low <= value < high if open_end else low <= value <= high):
            raise _out_of_range(name, value, f"a number in [{low:g}, {high:g}{')' if open_end else ']'}")

    @classmethod
    def none(cls) -> AugmentConfig:
        """Everything off: `Augment` then only normalises."""
        return cls(flip=0.0)


def _out_of_range(name: str, value: object, accepted: str) -> UserError:
    return UserError(f"augment.{name} is {value!r}; expected {accepted}", hint=f"set augment.{name} to {accepted}")


@dataclass(frozen=True)
class Moved:
    """How `Augment` moved each picture sideways: what a target that depends on left and right must follow.

    Attributes:
        mirrored: (B,) bool, swapped left and right.
        shifted: (B,) float32, then moved to the right by this fraction of the width (negative: to the left).
    """

    mirrored: Tensor
    shifted: Tensor


class Augment:
    """Random changes of a batch; every image gets its own draws, the generator's state decides all of them.

    Args:
        config: what to change.
        mean: per channel (or one for all), in units of the full range: x becomes (x / 255 - mean) / std.
        std: likewise, positive.

    Raises:
        UserError: `std` is not positive, or `mean` and `std` differ in length.
    """

    def __init__(self, config: AugmentConfig, mean: float | Sequence[float], std: float | Sequence[float]) -> None:
        self.config = config
        self._gain, self._offset, self._channels = _constants(mean, std)
        self._resamples = bool(config.rotate or config.scale or config.shift)

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Augment and normalise.

        Args:
            images: (B, H, W, C) uint8, on any device; left unchanged.
            generator: on the CPU or on the images' device. A call advances it by the same number of draws
                whichever changes are on, but for the noise of erasing.

        Returns:
            (B, C, H, W) float32, normalised, channels_last in memory.

        Raises:
            UserError: other shape or dtype, or a channel count that `mean` does not have.
        """
        return self.with_moves(images, generator)[0]

    def with_moves(self, images: Tensor, generator: torch.Generator) -> tuple[Tensor, Moved]:
        """The same, and how each picture was moved sideways; see `__call__`."""
        _check_images(images, self._channels)
        table = _draw(images.shape[0], generator)
        draws, local = _named(table), _named(table.to(images.device))
        pixels = self._resampled(images, local) if self._resamples else self._moved(images, local)
        if self.config.erase:
            pixels = self._erased(pixels, draws, generator)
        moved = Moved(local["flip"] < self.config.flip, self.config.shift * local["shift_x"])
        return self._lit(pixels, local), moved

    def erased_twice(self, images: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Two views that differ in what is erased and in nothing else, each as `__call__` returns it."""
        _check_images(images, self._channels)
        table = _draw(images.shape[0], generator)
        local = _named(table.to(images.device))
        pixels = self._resampled(images, local) if self._resamples else self._moved(images, local)
        first = self._lit(self._erased(pixels, _named(table), generator), local)
        again = _named(_draw(images.shape[0], generator))
        return first, self._lit(self._erased(pixels, again, generator), local)

    def _lit(self, pixels: Tensor, local: dict[str, Tensor]) -> Tensor:
        """Contrast, brightness and normalisation of (B, C, H, W) pixels in [0, 255]."""
        gain, offset = self._gain.to(pixels.device), self._offset.to(pixels.device)
        values = _floats(pixels)
        if self.config.brightness or self.config.contrast:
            # (x + contrast (x - mean) + 255 brightness) gain + offset, as one gain and one offset per image
            contrast = _column(self.config.contrast * local["contrast"])
            brightness = _column(255.0 * self.config.brightness * local["brightness"])
            offset = offset + (brightness - contrast * values.mean((1, 2, 3), keepdim=True)) * gain
            gain = (1.0 + contrast) * gain
        return values.mul_(gain).add_(offset)

    def _moved(self, images: Tensor, draws: dict[str, Tensor]) -> Tensor:
        """Crop and flip without interpolation. Returns (B, C, H, W) uint8, a view or a copy."""
        batch, height, width, _ = images.shape
        moved = images.permute(0, 3, 1, 2)
        if pad := self.config.crop_pad:
            # every window of the padded image is a view; picking one per image copies it once
            windows = _padded(images, pad, self.config.fill).unfold(1, height, 1).unfold(2, width, 1)
            left, top = self._crop_corner(draws)
            moved = windows[torch.arange(batch, device=images.device), top, left]
        if self.config.flip:
            moved = torch.where(_column(draws["flip"] < self.config.flip), moved.flip(3), moved)
        return moved

    def _crop_corner(self, draws: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Left and top of the crop in the padded image, each (B,) int64 in [0, 2 crop_pad]."""
        choices = 2 * self.config.crop_pad + 1
        return (draws["crop_x"] * choices).long(), (draws["crop_y"] * choices).long()

    def _resampled(self, images: Tensor, draws: dict[str, Tensor]) -> Tensor:
        """All of the geometry in one bilinear resampling. Returns (B, C, H, W) float32 in [0, 255].

        An output pixel p (x right, y down, pixels from the centre) is read at q = F(R(-angle)(p - shift) /
        zoom) + crop, with F the mirror: the inverse of crop, then flip, zoom, rotation and shift.
        """
        height, width = images.shape[1:3]
        angle = math.radians(self.config.rotate) * draws["rotate"]
        zoom = 1.0 + self.config.scale * draws["scale"]
        mirror = 1.0 - 2.0 * (draws["flip"] < self.config.flip).float()
        shift_x = width * self.config.shift * draws["shift_x"]
        shift_y = height * self.config.shift * draws["shift_y"]
        crop_x, crop_y = (corner - self.config.crop_pad for corner in self._crop_corner(draws))
        cos, sin = angle.cos() / zoom, angle.sin() / zoom
        rows = torch.stack([torch.stack([mirror * cos, mirror * sin]), torch.stack([-sin, cos])])  # (2, 2, B)
        crop = torch.stack([crop_x, crop_y])
        start = crop - rows[:, 0] * shift_x - rows[:, 1] * shift_y
        # grid_sample measures in half sides from the centre
        half = torch.tensor([width / 2, height / 2], device=images.device)[:, None]
        across, down, start = rows[:, 0] / half, rows[:, 1] / half, start / half
        x = torch.arange(width, device=images.device) - (width - 1) / 2
        y = torch.arange(height, device=images.device) - (height - 1) / 2
        # a plane of x and one of y from a single broadcast sum: seven times cheaper than affine_grid
        grid = (down[..., None] * y + start[..., None])[..., None] + (across[..., None] * x)[:, :, None, :]
        return F.grid_sample(
            images.permute(0, 3, 1, 2).to(torch.float32),
            grid.permute(1, 2, 3, 0),
            mode="bilinear",
            padding_mode="zeros" if self.config.fill == "zero" else "border",
            align_corners=False,
        )

    def _erased(self, pixels: Tensor, draws: dict[str, Tensor], generator: torch.Generator) -> Tensor:
        """Random erasing (Zhong et al., "Random Erasing Data Augmentation", AAAI 2020, algorithm 1).

        Where algorithm 1 draws again until the box fits, the ratio is drawn from those that fit the area; it
        is uniform in its logarithm, so that tall and wide boxes are equally likely.

        Args:
            pixels: (B, C, H, W), any dtype, values in [0, 255].
        """
        chosen = (draws["erase"] < self.config.erase).nonzero()[:, 0]
        _, channels, height, width = pixels.shape
        share = ERASE_SMALLEST + (self.config.erase_area - ERASE_SMALLEST) * draws["erase_area"][chosen]
        lowest = (share * height / width).clamp_(min=ERASE_RATIO).log_()
        highest = (height / width / share).clamp_(max=1.0 / ERASE_RATIO).log_()
        ratio = torch.exp(lowest + (highest - lowest) * draws["erase_ratio"][chosen])
        box_height = (share * height * width * ratio).sqrt_().round_().clamp_(1, height)
        box_width = (share * height * width / ratio).sqrt_().round_().clamp_(1, width)
        top = (draws["erase_y"][chosen] * (height - box_height + 1)).floor_()
        left = (draws["erase_x"][chosen] * (width - box_width + 1)).floor_()
        noise = _noise_bytes(len(chosen) * height * width * channels, generator)
        noise = noise.view(len(chosen), height, width, channels).permute(0, 3, 1, 2)
        in_rows = _between(height, top, box_height)[:, None, :, None]
        in_columns = _between(width, left, box_width)[:, None, None, :]
        inside = (in_rows & in_columns).to(pixels.device)
        chosen = chosen.to(pixels.device)
        erased = torch.where(inside, noise.to(pixels.device, pixels.dtype), pixels[chosen])
        return pixels.index_copy(0, chosen, erased)


def normalise(images: Tensor, mean: float | Sequence[float], std: float | Sequence[float]) -> Tensor:
    """(x / 255 - mean) / std, as `Augment` does it with everything off, to the last bit.

    Args:
        images: (B, H, W, C) uint8, on any device.
        mean: per channel (or one for all), in units of the full range.
        std: likewise, positive.

    Returns:
        (B, C, H, W) float32, channels_last in memory.

    Raises:
        UserError: other shape or dtype, a channel count that `mean` does not have, `std` not positive.
    """
    gain, offset, channels = _constants(mean, std)
    _check_images(images, channels)
    values = _floats(images.permute(0, 3, 1, 2))
    return values.mul_(gain.to(images.device)).add_(offset.to(images.device))


def _constants(mean: float | Sequence[float], std: float | Sequence[float]) -> tuple[Tensor, Tensor, int]:
    """Gain 1 / (255 std) and offset -mean / std, and how many values were given (1 fits any image).

    Both tensors are (1, C, 1, 1), or (1, 1, 1, 1) when all channels share the value.
    """
    means = [float(mean)] if isinstance(mean, int | float) else [float(value) for value in mean]
    stds = [float(std)] if isinstance(std, int | float) else [float(value) for value in std]
    if len(means) != len(stds) or not means:
        raise UserError(
            f"mean has {len(means)} values and std has {len(stds)}; expected the same number, at least one",
            hint="give one value per channel, or one for all",
        )
    if not all(math.isfinite(value) for value in means) or not all(0 < value < math.inf for value in stds):
        raise UserError(
            f"mean is {means} and std is {stds}; expected finite means and positive std",
            hint="both are in units of the full range: 0.5 is half of 255",
        )
    channels = len(means)
    if len(set(zip(means, stds, strict=True))) == 1:
        # one value broadcasts over contiguous memory, four times as fast as one per interleaved channel
        means, stds = means[:1], stds[:1]
    pairs = list(zip(means, stds, strict=True))
    gain = torch.tensor([1.0 / (255.0 * s) for _, s in pairs], dtype=torch.float32)
    offset = torch.tensor([-m / s for m, s in pairs], dtype=torch.float32)
    return gain.view(1, -1, 1, 1), offset.view(1, -1, 1, 1), channels


def _check_images(images: Tensor, channels: int) -> None:
    if images.dtype != torch.uint8 or images.ndim != 4:
        raise UserError(
            f"images are {images.dtype} of shape {tuple(images.shape)}; expected torch.uint8 (B, H, W, C)",
            hint="give the pixels as bytes, channels last",
        )
    if channels not in (1, images.shape[3]):
        raise UserError(
            f"images have {images.shape[3]} channels, mean and std have {channels}",
            hint="give one value per channel, or one for all",
        )


_FRACTIONS = ("flip", "crop_x", "crop_y", "erase", "erase_area", "erase_ratio", "erase_x", "erase_y")
_SIGNED = ("rotate", "scale", "shift_x", "shift_y", "brightness", "contrast")


def _draw(batch: int, generator: torch.Generator) -> Tensor:
    """All that a batch needs: a (B,) float32 row per name, `_FRACTIONS` in [0, 1), `_SIGNED` in [-1, 1)."""
    table = torch.rand(len(_FRACTIONS) + len(_SIGNED), batch, generator=generator, device=generator.device)
    table[len(_FRACTIONS) :].mul_(2.0).sub_(1.0)
    return table


def _named(table: Tensor) -> dict[str, Tensor]:
    return dict(zip(_FRACTIONS + _SIGNED, table.unbind(), strict=True))


def _noise_bytes(count: int, generator: torch.Generator) -> Tensor:
    """(count,) uint8, uniform over 0 to 255. Each 64-bit draw gives eight of them: eight times cheaper."""
    words = torch.empty((count + 7) // 8, dtype=torch.int64, device=generator.device)
    return words.random_(-(2**63), None, generator=generator).view(torch.uint8)[:count]


def _floats(pixels: Tensor) -> Tensor:
    """A float32 copy, channels_last in memory, down to the strides that grey images leave open."""
    values = torch.empty(pixels.shape, dtype=torch.float32, device=pixels.device, memory_format=torch.channels_last)
    return values.copy_(pixels)


def _padded(images: Tensor, pad: int, fill: Fill) -> Tensor:
    """(B, H, W, C) uint8 -> (B, H + 2 pad, W + 2 pad, C)."""
    if fill == "zero":
        return F.pad(images, (0, 0, pad, pad, pad, pad))
    _, height, width, _ = images.shape
    rows = torch.arange(-pad, height + pad, device=images.device).clamp_(0, height - 1)
    columns = torch.arange(-pad, width + pad, device=images.device).clamp_(0, width - 1)
    return images.index_select(1, rows).index_select(2, columns)


def _between(length: int, start: Tensor, extent: Tensor) -> Tensor:
    """(B, length) bool: which positions lie in [start, start + extent)."""
    position = torch.arange(length, device=start.device)
    return (position >= start[:, None]) & (position < (start + extent)[:, None])


def _column(values: Tensor) -> Tensor:
    """(B,) -> (B, 1, 1, 1), to broadcast over an image."""
    return values[:, None, None, None]
