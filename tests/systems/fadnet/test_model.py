"""FADNet: the released models' numbers, parameter counts, and the formulas against an independent derivation."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from kinesics.nn.backbones import count_parameters
from kinesics.nn.resnet8 import ResNet8, grid_sides, same_padded
from kinesics.systems.fadnet.config import FADNetConfig
from kinesics.systems.fadnet.model import FADNet, accumulate, aggregate, halved_support, pooled_support
from kinesics.systems.recipe import make_recipe

RELEASED = {"release": "FADNet", "release_plus": "FADNet_plus"}


def network(preset: str, size: int = 200) -> FADNet:
    return FADNet(make_recipe("fadnet", {"data": "-", "preset": preset}).task, 1, size)


@pytest.fixture(scope="module")
def drawn(shared: Path) -> ModuleType:
    """The golden values' own weights and inputs."""
    spec = importlib.util.spec_from_file_location("detweights", shared / "golden" / "detweights.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("preset", RELEASED)
def test_released_numbers(preset: str, shared: Path, drawn: ModuleType) -> None:
    """The released keys, shapes and outputs, for grey values in [0, 1) and in [0, 255)."""
    name = RELEASED[preset]
    golden: Any = np.load(shared / "golden" / "fadnet.npz", allow_pickle=False)
    described = json.loads((shared / "golden" / "fadnet_keys.json").read_text())[name]
    model = network(preset).eval()
    assert {key: list(value.shape) for key, value in model.state_dict().items()} == described["keys"]
    assert count_parameters(model) == described["n_params"]
    model.load_state_dict(drawn.det_state_dict(model.state_dict()))
    x = drawn.det_input((2, 1, 200, 200))
    with torch.inference_mode():
        for tag, factor in (("unit", 1.0), ("x255", 255.0)):
            found = model(x * factor).numpy()
            np.testing.assert_allclose(found, golden[f"{name}_{tag}_f64_out"][:, 0], rtol=1e-5)


@pytest.mark.parametrize("preset", RELEASED)
def test_released_gradients(preset: str, shared: Path, drawn: ModuleType) -> None:
    """One training step in float64, without dropout."""
    name = RELEASED[preset]
    golden: Any = np.load(shared / "golden" / "fadnet.npz", allow_pickle=False)
    model = network(preset)
    model.load_state_dict(drawn.det_state_dict(model.state_dict()))
    model.double().dropout.p = 0.0
    out = model.train()(drawn.det_input((2, 1, 200, 200)).double())
    loss = (out - torch.tensor([0.25, -0.5])).square().mean()
    loss.backward()
    assert loss.item() == pytest.approx(float(golden[f"{name}_train_unit_f64_mse"]), rel=1e-9)
    norms = {key: value.grad.norm().item() for key, value in model.named_parameters() if value.grad is not None}
    keys = golden[f"{name}_train_unit_grad_keys"].tolist()
    # a bias before batch normalisation has gradient 0 but for rounding
    largest = golden[f"{name}_train_unit_f64_grad_norm"].max()
    expected = golden[f"{name}_train_unit_f64_grad_norm"]
    np.testing.assert_allclose([norms[key] for key in keys], expected, rtol=1e-7, atol=1e-12 * largest)


def test_parameter_counts() -> None:
    assert count_parameters(network("paper")) == 308_443
    assert count_parameters(ResNet8(1)) == 308_384
    assert network("paper").accumulation.weight.shape == (1, 3) and network("paper").accumulation.bias is None


def test_accumulation_and_aggregation_by_hand() -> None:
    """Sums written out in NumPy, float64."""
    rng = np.random.default_rng(0)
    features, weight, bias = rng.standard_normal((2, 3, 10)), rng.standard_normal(3), rng.standard_normal(1)
    feature = rng.standard_normal((2, 10))
    expected = np.zeros((2, 10))
    for h in range(3):
        for i in range(10):
            expected[:, i] += weight[h] * features[:, h, i]
    found = accumulate(torch.from_numpy(features), torch.from_numpy(weight))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-14)
    with_bias = accumulate(torch.from_numpy(features), torch.from_numpy(weight), torch.from_numpy(bias))
    np.testing.assert_allclose(with_bias.numpy(), expected + bias, rtol=1e-14)
    theta = [sum(feature[b, i] * expected[b, i] for i in range(10)) / 10 for b in range(2)]
    np.testing.assert_allclose(aggregate(torch.from_numpy(feature), found).numpy(), theta, rtol=1e-13)


def test_gradients_of_the_formulas() -> None:
    torch.manual_seed(0)
    features, weight = torch.randn(2, 3, 4, dtype=torch.float64), torch.randn(3, dtype=torch.float64)
    feature = torch.randn(2, 4, dtype=torch.float64)
    inputs = tuple(tensor.requires_grad_() for tensor in (feature, features, weight))
    assert torch.autograd.gradcheck(lambda s, f, w: aggregate(s, accumulate(f, w)), inputs)


def test_supports() -> None:
    stage = torch.arange(2 * 64 * 9, dtype=torch.float64).view(2, 64, 3, 3)
    support = pooled_support(stage, 2).view(2, 128, 2, 2)
    np.testing.assert_allclose(support[1, 70, 1, 0], stage[1, 6].mean())
    wide = torch.arange(256 * 4, dtype=torch.float64).view(1, 256, 2, 2)
    np.testing.assert_allclose(halved_support(wide)[0, :3], [0.5, 2.5, 4.5])


@pytest.mark.parametrize("size", [8, 32, 64, 96, 120, 200, 225])
def test_any_size_has_supports_of_the_features_size(size: int) -> None:
    stages = ResNet8(1).eval().stages(torch.zeros(1, 1, size, size))
    assert [stage.shape[2] for stage in stages] == grid_sides(size)
    for preset in ("paper", "release", "release_plus"):
        assert network(preset, size).eval()(torch.rand(2, 1, size, size)).shape == (2,)


def test_padding_is_odd_at_the_bottom_and_the_right() -> None:
    padded = same_padded(torch.ones(1, 1, 200, 200), 5, 2)
    assert padded.shape[2:] == (203, 203)
    assert padded[0, 0, 0].sum() == 0 and padded[0, 0, 1, 1] == 1 and padded[0, 0, -2:].sum() == 0


def test_the_texts_network_does_not_see_brightness_or_contrast() -> None:
    """Input layer normalisation; the released network has none."""
    torch.manual_seed(0)
    x = torch.rand(2, 1, 64, 64)
    text, released = network("paper", 64).eval(), network("release", 64).eval()
    with torch.inference_mode():
        torch.testing.assert_close(text(x * 3 + 1), text(x), rtol=1e-3, atol=1e-5)
        assert (released(x * 3 + 1) - released(x)).abs().min() > 1e-3


def test_wrong_settings_are_refused() -> None:
    from kinesics.errors import UserError

    for wrong in ({"support": "gap"}, {"head": "max"}, {"dropout": 1.0}, {"mirror_sign": 0.0}):
        (name,) = wrong
        with pytest.raises(UserError, match=f"--task.{name}"):
            FADNetConfig(**wrong)  # type: ignore[arg-type]
