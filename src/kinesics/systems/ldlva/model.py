"""The calibration network g of LDLVA."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Calibration(nn.Module):
    """zeta = sigmoid(g([v_i, v_k])), an MLP on pairs of features.

    Its first layer is applied to v_i and v_k apart and summed, which is the same map as on the concatenation and costs
    v_i's half once a sample instead of once a pair.

    Args:
        features: V.
        hidden: widths of the hidden layers.
        norm: batch normalisation over the pairs after each hidden layer.
        floor: lower clamp of the logit; the gradient is zero below it.
    """

    def __init__(self, features: int, hidden: Sequence[int], norm: bool = False, floor: float | None = None) -> None:
        super().__init__()
        self.floor = floor
        self.own = nn.Linear(features, hidden[0])
        self.other = nn.Linear(features, hidden[0], bias=False)
        layers: list[nn.Module] = []
        for place, width in enumerate(hidden):
            layers += [nn.BatchNorm1d(width)] if norm else []
            layers += [nn.ReLU()]
            layers += [nn.Linear(width, hidden[place + 1] if place + 1 < len(hidden) else 1)]
        self.rest = nn.Sequential(*layers)

    def forward(self, own_BV: Tensor, other_BKV: Tensor) -> Tensor:
        """(B, V) samples and (B, K, V) neighbours -> (B, K) calibration scores in (0, 1), float32."""
        hidden = self.own(own_BV).unsqueeze(1) + self.other(other_BKV)
        logit = self.rest(hidden.flatten(0, 1)).view(other_BKV.shape[:2]).float()
        if self.floor is not None:
            logit = logit.clamp(min=self.floor)
        return torch.sigmoid(logit)
