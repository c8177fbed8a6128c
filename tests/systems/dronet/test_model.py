"""DroNet's steering branch."""

from __future__ import annotations

import pytest
import torch

from kinesics.errors import UserError
from kinesics.nn.backbones import count_parameters
from kinesics.systems.dronet.config import DroNetConfig
from kinesics.systems.dronet.model import DroNet


def test_the_published_number_of_parameters() -> None:
    assert count_parameters(DroNet(1, 200, 0.5)) == 314_657


def test_one_angle_a_picture() -> None:
    torch.manual_seed(0)
    model = DroNet(3, 40, 0.5)
    x = torch.rand(3, 3, 40, 40)
    assert model(x).shape == (3,) and not torch.equal(model(x), model(x))  # dropout
    model.eval()
    assert torch.equal(model(x), model(x))
    with pytest.raises(UserError, match="--task.dropout"):
        DroNetConfig(dropout=1.0)
