"""ResNet against published parameter counts, torchvision's key names and a plain float64 implementation."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from kinesics.errors import UserError
from kinesics.nn.resnet import resnet

torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("depth", "parameters", "entries"), [(18, 11_689_512, 122), (34, 21_797_672, 218), (50, 25_557_032, 320)]
)
def test_published_parameter_counts_and_state_dict_sizes(depth: int, parameters: int, entries: int) -> None:
    with torch.device("meta"):
        model = resnet(depth, 1000)
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert len(model.state_dict()) == entries


def test_torchvision_key_names_and_shapes() -> None:
    with torch.device("meta"):
        shapes = {key: tuple(value.shape) for key, value in resnet(18, 1000).state_dict().items()}
        deep = {key: tuple(value.shape) for key, value in resnet(50, 1000).state_dict().items()}
    known = {
        "conv1.weight": (64, 3, 7, 7),
        "bn1.running_mean": (64,),
        "bn1.num_batches_tracked": (),
        "layer1.1.conv2.weight": (64, 64, 3, 3),
        "layer2.0.conv1.weight": (128, 64, 3, 3),
        "layer2.0.downsample.0.weight": (128, 64, 1, 1),
        "layer2.0.downsample.1.running_var": (128,),
        "layer4.1.bn2.bias": (512,),
        "fc.weight": (1000, 512),
        "fc.bias": (1000,),
    }
    assert known.items() <= shapes.items()
    assert "layer1.0.downsample.0.weight" not in shapes
    known_deep = {
        "layer1.0.downsample.0.weight": (256, 64, 1, 1),
        "layer1.2.conv3.weight": (256, 64, 1, 1),
        "layer3.5.conv2.weight": (256, 256, 3, 3),
        "layer4.0.downsample.0.weight": (2048, 1024, 1, 1),
        "layer4.2.bn3.weight": (2048,),
        "fc.weight": (1000, 2048),
    }
    assert known_deep.items() <= deep.items()


STAGES = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}


def reference(state: dict[str, Tensor], x: Tensor, depth: int, stem: str, training: bool) -> Tensor:
    """Feature vectors computed from the weights by key name alone, one operation after another."""

    def norm(x: Tensor, name: str) -> Tensor:
        if training:
            mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
        else:
            mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        scaled = (x - mean[:, None, None]) / torch.sqrt(var[:, None, None] + 1e-5)
        return scaled * state[f"{name}.weight"][:, None, None] + state[f"{name}.bias"][:, None, None]

    def conv(x: Tensor, name: str, stride: int = 1) -> Tensor:
        weight = state[f"{name}.weight"]
        return F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)

    x = norm(conv(x, "conv1", 1 if stem == "small" else 2), "bn1").clamp(min=0)
    if stem == "imagenet":
        x = F.max_pool2d(x, 3, 2, 1)
    for stage in range(4):
        for block in range(STAGES[depth][stage]):
            name = f"layer{stage + 1}.{block}"
            stride = 2 if stage > 0 and block == 0 else 1
            if depth == 50:
                y = norm(conv(x, f"{name}.conv1"), f"{name}.bn1").clamp(min=0)
                y = norm(conv(y, f"{name}.conv2", stride), f"{name}.bn2").clamp(min=0)
                y = norm(conv(y, f"{name}.conv3"), f"{name}.bn3")
            else:
                y = norm(conv(x, f"{name}.conv1", stride), f"{name}.bn1").clamp(min=0)
                y = norm(conv(y, f"{name}.conv2"), f"{name}.bn2")
            if block == 0 and (stage > 0 or depth == 50):
                x = norm(conv(x, f"{name}.downsample.0", stride), f"{name}.downsample.1")
            x = (x + y).clamp(min=0)
    return x.mean((2, 3))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    ("depth", "stem", "side", "channels"),
    [
        (18, "imagenet", 65, 3),
        (18, "medium", 33, 3),
        (18, "small", 17, 1),
        (34, "imagenet", 40, 1),
        (50, "medium", 33, 3),
    ],
)
def test_numerics_against_a_plain_reimplementation(
    depth: int, stem: str, side: int, channels: int, training: bool
) -> None:
    torch.manual_seed(depth)
    model = resnet(depth, 5, channels, stem).double()
    with torch.no_grad():
        for name, value in model.state_dict().items():
            # a fresh BatchNorm is nearly the identity and would hide a wrong statistic
            if name.endswith(("running_mean", "bias")):
                value.normal_(0, 0.2)
            elif name.endswith("running_var") or ("bn" in name and name.endswith("weight")):
                value.uniform_(0.5, 1.5)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    x = torch.randn(3, channels, side, side, dtype=torch.float64)
    model.train(training)
    with torch.no_grad():
        features, logits = model.forward_features(x), model.eval()(x)
    expected = reference(state, x, depth, stem, training)
    assert features.shape == (3, 2048 if depth == 50 else 512) == (3, model.feature_size)
    torch.testing.assert_close(features, expected, rtol=1e-9, atol=1e-9)
    if not training:
        expected_logits = expected @ state["fc.weight"].T + state["fc.bias"]
        torch.testing.assert_close(logits, expected_logits, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("stem", "side", "maps"), [("imagenet", 224, 7), ("medium", 112, 7), ("small", 48, 6)])
def test_each_stem_leaves_maps_of_a_sensible_size(stem: str, side: int, maps: int) -> None:
    with torch.device("meta"):
        assert resnet(18, 7, stem=stem).forward_maps(torch.empty(1, 3, side, side)).shape == (
            1,
            512,
            maps,
            maps,
        )


def test_without_classes_the_output_is_the_feature_vector() -> None:
    model = resnet(18, 0, 1, "small").eval()
    x = torch.randn(2, 1, 16, 16)
    assert torch.equal(model(x), model.forward_features(x))
    assert not any(key.startswith("fc.") for key in model.state_dict())


def test_initial_weights_have_the_variance_of_he_et_al() -> None:
    torch.manual_seed(0)
    model = resnet(18, 7)
    for conv in (model.conv1, model.layer2[0].conv1, model.layer4[1].conv2):
        fan_out = conv.weight.shape[0] * conv.weight.shape[2] * conv.weight.shape[3]
        assert conv.weight.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=0.05)


@pytest.mark.parametrize("depth", [18, 50])
def test_zero_init_residual_starts_each_block_as_the_identity(depth: int) -> None:
    x = torch.rand(2, 256 if depth == 50 else 64, 8, 8)
    block = resnet(depth, 0, zero_init_residual=True).layer1[1]
    torch.testing.assert_close(block(x), x)
    zero = [name for name, value in block.named_parameters() if "weight" in name and not value.any()]
    assert zero == ["bn3.weight" if depth == 50 else "bn2.weight"]
    assert not torch.allclose(resnet(depth, 0).layer1[1](x), x, atol=0.1)


def test_every_parameter_gets_a_gradient_and_memory_format_does_not_matter() -> None:
    torch.manual_seed(0)
    model = resnet(18, 3, 1, "small")
    x = torch.randn(4, 1, 24, 24)
    model(x).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
    with torch.no_grad():
        model.eval()
        plain = model(x)
        last = model.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
    torch.testing.assert_close(plain, last, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"depth": 20, "num_classes": 7}, "18, 34, 50"),
        ({"depth": 18, "num_classes": -1}, "num_classes"),
        ({"depth": 18, "num_classes": 7, "in_channels": 0}, "in_channels"),
        ({"depth": 18, "num_classes": 7, "stem": "large"}, "imagenet, medium, small"),
    ],
)
def test_bad_arguments(arguments: dict[str, object], named: str) -> None:
    with pytest.raises(UserError, match=named):
        resnet(**arguments)
