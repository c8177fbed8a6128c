"""The table of backbones: sizes as published, features and classifier where everything looks for them."""

from __future__ import annotations

import pytest
import torch

from kinesics.errors import UserError
from kinesics.nn.backbones import BACKBONES, count_parameters, make_backbone
from kinesics.nn.inception import SMALLEST
from kinesics.nn.mobilenet import MobileNetV2
from kinesics.nn.vgg import VGG16


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_has_features_and_fc(name: str) -> None:
    torch.manual_seed(0)
    size = SMALLEST if name == "inception_v3" else 32
    network = make_backbone(name, 3, 1, size).eval()
    with torch.inference_mode():
        x = torch.rand(2, 1, size, size)
        features = network.forward_features(x)
        assert features.shape == (2, network.feature_size)
        torch.testing.assert_close(network.fc(features), network(x))
        maps = network.forward_maps(x)
        assert maps.ndim == 4 and maps.shape[:2] == features.shape
        torch.testing.assert_close(maps.mean((2, 3)), features)
    assert network.fc.out_features == 3


def test_published_sizes() -> None:
    """torchvision's mobilenet_v2 has 3,504,872 parameters, 1,281,000 of them in its classifier; vgg16's convolutions
    have 14,714,688."""
    assert count_parameters(MobileNetV2(1000, 3)) == 3_504_872
    assert count_parameters(VGG16(1, 3)) == 14_714_688 + 513


def test_convolutions_are_called_as_in_torchvision() -> None:
    keys = MobileNetV2(1, 3).state_dict().keys()
    assert {"features.0.0.weight", "features.1.conv.1.weight", "features.2.conv.0.0.weight"} <= keys
    assert {"features.18.1.running_var", "features.17.conv.3.weight"} <= keys
    assert {"features.0.weight", "features.28.bias"} <= VGG16(1, 3).state_dict().keys()


def test_pictures_too_small_are_refused() -> None:
    with pytest.raises(UserError, match=r"inception_v3 needs pictures of 75 pixels .* got 74") as found:
        make_backbone("inception_v3", 1, 3, 74)
    assert found.value.hint is not None and "--input.size 75" in found.value.hint
