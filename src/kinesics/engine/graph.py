"""From stored bytes to calibrated answers as one module: the form in which a trained network leaves the house."""

from __future__ import annotations

from torch import Tensor, nn


class FromBytes(nn.Module):
    """Normalisation, a network, and for classifiers the temperature and softmax.

    The numbers are those of `Task.transform` without augmentation and of `Task.prediction_step`.

    Args:
        network: (B, C, H, W) float32 normalised pixels -> logits (B, K), or answers (B,) or (B, 1), or a tuple of
            them and what is handed on as it is.
        mean: taken off pixels in [0, 1].
        std: divides what is left.
        temperature: of a classifier's softmax; None for answers that are numbers.
    """

    def __init__(self, network: nn.Module, mean: float, std: float, temperature: float | None = None) -> None:
        super().__init__()
        self.network = network
        self.gain, self.offset = 1 / (255 * std), -mean / std
        self.temperature = temperature

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        """(B, H, W, C) uint8 -> (B, K) probabilities, or (B,) answers, float32, and what the network gave besides."""
        found = self.network(image.permute(0, 3, 1, 2).float() * self.gain + self.offset)
        first, *more = found if isinstance(found, tuple) else (found,)
        first = first.float()
        answer = first.flatten() if self.temperature is None else (first / self.temperature).softmax(1)
        return (answer, *more) if more else answer
