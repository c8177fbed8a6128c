"""From stored bytes to calibrated answers as one module: the form in which a trained network leaves the house."""

from __future__ import annotations

from torch import Tensor, nn


class FromBytes(nn.Module):
    """Normalisation, a network, and for classifiers the temperature and softmax.

    The numbers are those of `Task.transform` without augmentation and of `Task.prediction_step`.

    Args:
        network: (B, C, H, W) float32 normalised pixels -> logits (B, K) or answers (B,).
        mean: taken off pixels in [0, 1].
        std: divides what is left.
        temperature: of a classifier's softmax; None hands the network's answers on as they are.
    """

    def __init__(self, network: nn.Module, mean: float, std: float, temperature: float | None = None) -> None:
        super().__init__()
        self.network = network
        self.gain, self.offset = 1 / (255 * std), -mean / std
        self.temperature = temperature

    def forward(self, image: Tensor) -> Tensor:
        """(B, H, W, C) uint8 -> (B, K) probabilities, or (B,) answers, float32."""
        pixels = image.permute(0, 3, 1, 2).float() * self.gain + self.offset
        answer = self.network(pixels).float()
        return answer if self.temperature is None else (answer / self.temperature).softmax(1)
