"""The branches of Relative Uncertainty Learning, and the network as it answers."""

from __future__ import annotations

from torch import Tensor, nn

from kinesics.systems.rul.losses import uncertainty_value


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


class Answering(nn.Module):
    """Backbone and both branches, for files that leave the house.

    Args:
        backbone: has `forward_features`, `forward_maps` and `fc`.
        mu, log_sigma: the branches.
        pooled: whether they see pooled features.
    """

    def __init__(self, backbone: nn.Module, mu: Branch, log_sigma: Branch, pooled: bool) -> None:
        super().__init__()
        self.backbone, self.mu, self.log_sigma, self.pooled = backbone, mu, log_sigma, pooled

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, channels, H, W) normalised pixels -> logits W mu (B, C) and u / (1 + u) (B,)."""
        look = self.backbone.forward_features if self.pooled else self.backbone.forward_maps
        seen = look(x)  # type: ignore[operator]
        value = uncertainty_value(self.log_sigma(seen))
        return self.backbone.fc(self.mu(seen)), value / (1 + value)  # type: ignore[operator]
