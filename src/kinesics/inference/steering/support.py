"""Which pixels steer: gradient and occlusion maps of a steering model, and a picture of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kinesics.engine.prediction import Steering
from kinesics.engine.regressor import Regressor
from kinesics.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

    from kinesics.inference.predictor import Predictor


@dataclass(frozen=True)
class Support:
    """What one answer rests on.

    Attributes:
        pixels: (S, S, C) uint8, what the model saw.
        answer: the model's.
        gradient: (S, S) float32, |d angle / d pixel|, summed over channels, of pixels in [0, 1].
        occlusion: (S, S) float32, mean |change of the angle| over the grey windows that cover the pixel.
    """

    pixels: np.ndarray
    answer: Steering
    gradient: np.ndarray
    occlusion: np.ndarray

    def draw(self) -> Image:
        """The picture with the answer, and both maps over it, side by side; red is where the answer comes from."""
        from PIL import Image as Images

        grey = self.pixels[:, :, 0] if self.pixels.shape[2] == 1 else self.pixels
        picture = Images.fromarray(grey).convert("RGB")
        parts = [self.answer.draw(picture), *(_over(picture, m) for m in (self.gradient, self.occlusion))]
        canvas = Images.new("RGB", (3 * picture.width + 8, picture.height), "white")
        for place, part in enumerate(parts):
            canvas.paste(part, (place * (picture.width + 4), 0))
        return canvas


def support_of(predictor: Predictor, image: Any, window: int = 0) -> Support:
    """Gradient and occlusion maps for one image.

    Args:
        predictor: of a steering model.
        image: as the predictor takes it.
        window: side of the grey squares in pixels of the model's input; 0: an eighth of it.

    Raises:
        UserError: a model that doesn't steer, an image that can't be read, a window larger than the input.
    """
    task = predictor.task
    if not isinstance(task, Regressor):
        raise UserError(
            f"{predictor.system} answers with classes; support maps are of models that answer with an angle",
            hint="give a run of a steering system",
        )
    side = window or max(task.spec.size // 8, 1)
    if not 1 <= side <= task.spec.size:
        raise UserError(f"window is {side} pixels; it must be 1 to {task.spec.size}, the model's input")
    pixels = predictor.pixels(image)
    batch = {"image": torch.from_numpy(pixels[None].copy()).to(task.device), "index": torch.zeros(1, dtype=torch.int64)}
    x = task.transform(batch, None)["image"]
    with torch.inference_mode():
        angle = float(task.angles(x)[0])
    gradient = gradient_map(task, x) / task.spec.std
    return Support(pixels, Steering(angle=angle), gradient[0].cpu().numpy(), occlusion_map(task, x, side).cpu().numpy())


def gradient_map(task: Regressor, x: Tensor) -> Tensor:
    """|d angle / d x| summed over channels: (B, C, S, S) normalised pixels -> (B, S, S)."""
    with torch.enable_grad():
        x = x.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(task.angles(x).sum(), x)
    return gradient.abs().sum(1)


@torch.inference_mode()
def occlusion_map(task: Regressor, x: Tensor, window: int, batch_size: int = 32) -> Tensor:
    """How far the angle moves when squares of the picture's own mean cover it.

    Args:
        task: in evaluation mode.
        x: (1, C, S, S) normalised pixels.
        window: side of the squares; they overlap by half.
        batch_size: squares in one forward pass.

    Returns:
        (S, S): mean |change| over the squares that cover each pixel.
    """
    size = x.shape[2]
    step = max(window // 2, 1)
    starts = sorted({*range(0, size - window + 1, step), size - window})
    corners = [(top, left) for top in starts for left in starts]
    plain, grey = task.angles(x)[0], x.mean((2, 3), keepdim=True)[0]
    total, count = torch.zeros(size, size), torch.zeros(size, size)
    for first in range(0, len(corners), batch_size):
        part = corners[first : first + batch_size]
        covered = x.repeat(len(part), 1, 1, 1)
        for one, (top, left) in zip(covered, part, strict=True):
            one[:, top : top + window, left : left + window] = grey
        change = (task.angles(covered) - plain).abs().cpu()
        for value, (top, left) in zip(change, part, strict=True):
            total[top : top + window, left : left + window] += value
            count[top : top + window, left : left + window] += 1
    return total / count


def _over(picture: Image, heat: np.ndarray) -> Image:
    """The picture, darkened, with red where `heat` (S, S) is largest; a little smoothed."""
    from PIL import Image as Images

    smooth = F.avg_pool2d(torch.from_numpy(np.ascontiguousarray(heat))[None, None], 3, 1, 1)[0, 0].numpy()
    top = float(np.quantile(smooth, 0.995))
    share = np.clip(smooth / top, 0, 1) if top > 0 else np.zeros_like(smooth)
    dark = 0.6 * np.asarray(picture, dtype=np.float64)
    red = np.array([255.0, 40.0, 0.0])
    mixed = dark * (1 - share[:, :, None]) + red * share[:, :, None]
    return Images.fromarray(mixed.round().astype(np.uint8))
