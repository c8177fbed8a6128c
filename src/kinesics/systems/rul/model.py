"""The branches of Relative Uncertainty Learning."""

from __future__ import annotations

from torch import Tensor, nn


class Branch(nn.Module):
    """Batch normalisation, dropout, one linear layer, batch normalisation: (B, D, ...) -> (B, outputs).

    Args:
        channels: D; each is normalised without a gain of its own.
        places: numbers a channel, h w of maps or 1 of pooled features.
        outputs: V.
        dropout: probability of dropping an input.
    """

    def __init__(self, channels: int, places: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.before = nn.BatchNorm1d(channels, eps=2e-5, affine=False)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(channels * places, outputs)
        self.after = nn.BatchNorm1d(outputs, eps=2e-5)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D) features or (B, D, h, w) maps, float32 -> (B, outputs)."""
        x = self.dropout(self.before(x.flatten(2) if x.ndim == 4 else x))
        return self.after(self.linear(x.flatten(1)))
