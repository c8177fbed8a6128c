"""Inception-V3: torchvision's keys, shapes and counts; the paper's grid sizes; it learns."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from kinesics.nn.backbones import count_parameters
from kinesics.nn.inception import SMALLEST, InceptionV3
from kinesics.nn.weights import fit_state


@pytest.fixture(scope="module")
def network() -> InceptionV3:
    """A thousand classes, RGB; not to be changed."""
    torch.manual_seed(0)
    return InceptionV3(1000, 3).eval()


def test_parameters_are_torchvisions(network: InceptionV3) -> None:
    """torchvision: 27,161,264 with the auxiliary head: 1x1 768 to 128, 5x5 128 to 768, linear 768 to 1,000."""
    auxiliary = (768 * 128 + 2 * 128) + (25 * 128 * 768 + 2 * 768) + (768 * 1000 + 1000)
    assert count_parameters(network) == 27_161_264 - auxiliary == 23_834_568
    # with one output, as published for Table 2 of the FADNet text: 21.8 million
    assert count_parameters(InceptionV3(1, 3)) == 23_834_568 - 999 * 2049 == 21_787_617


def test_keys_and_shapes_are_torchvisions(network: InceptionV3) -> None:
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    convolutions = [key.removesuffix(".conv.weight") for key in shapes if key.endswith(".conv.weight")]
    # the stem has 5; a block of figure 5 has 7, of figure 6 10, of figure 7 9; the halving ones 4 and 6
    assert len(convolutions) == 5 + 3 * 7 + 4 + 4 * 10 + 6 + 2 * 9
    norms = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    expected = {f"{name}.bn.{part}" for name in convolutions for part in norms}
    assert set(shapes) == expected | {f"{name}.conv.weight" for name in convolutions} | {"fc.weight", "fc.bias"}
    for key, shape in {
        "Conv2d_1a_3x3": (32, 3, 3, 3), "Conv2d_3b_1x1": (80, 64, 1, 1), "Conv2d_4a_3x3": (192, 80, 3, 3),
        "Mixed_5b.branch5x5_2": (64, 48, 5, 5), "Mixed_5b.branch_pool": (32, 192, 1, 1),
        "Mixed_5d.branch3x3dbl_1": (64, 288, 1, 1), "Mixed_6a.branch3x3": (384, 288, 3, 3),
        "Mixed_6b.branch7x7_2": (128, 128, 1, 7), "Mixed_6c.branch7x7_3": (192, 160, 7, 1),
        "Mixed_6e.branch7x7dbl_2": (192, 192, 7, 1), "Mixed_6d.branch7x7dbl_5": (192, 160, 1, 7),
        "Mixed_7a.branch3x3_2": (320, 192, 3, 3), "Mixed_7a.branch7x7x3_4": (192, 192, 3, 3),
        "Mixed_7b.branch3x3_2a": (384, 384, 1, 3), "Mixed_7c.branch3x3dbl_3b": (384, 384, 3, 1),
        "Mixed_7c.branch3x3dbl_1": (448, 2048, 1, 1), "Mixed_7c.branch_pool": (192, 2048, 1, 1),
    }.items():  # fmt: skip
        assert shapes[f"{key}.conv.weight"] == shape, key
    assert shapes["fc.weight"] == (1000, 2048) and network.Conv2d_1a_3x3.bn.eps == 0.001


def test_stages_have_the_papers_sizes(network: InceptionV3) -> None:
    """Table 1 of the paper at 299 pixels; and the smallest picture."""
    found: dict[str, tuple[int, ...]] = {}
    handles = [
        module.register_forward_hook(lambda _, __, y, name=name: found.__setitem__(name, tuple(y.shape[1:])))
        for name, module in network.named_children()
    ]
    with torch.inference_mode():
        assert network(torch.rand(1, 3, 299, 299)).shape == (1, 1000)
        wide = dict(found)
        assert network.forward_features(torch.rand(1, 3, SMALLEST, SMALLEST)).shape == (1, 2048)
        small = dict(found)
    for handle in handles:
        handle.remove()
    assert wide["Conv2d_2b_3x3"] == (64, 147, 147) and wide["Conv2d_4a_3x3"] == (192, 71, 71)
    assert wide["Mixed_5b"] == (256, 35, 35) and wide["Mixed_5d"] == (288, 35, 35)
    assert wide["Mixed_6a"] == wide["Mixed_6e"] == (768, 17, 17)
    assert wide["Mixed_7a"] == (1280, 8, 8) and wide["Mixed_7c"] == (2048, 8, 8)
    assert small["Mixed_7c"] == (2048, 1, 1)
    with torch.inference_mode(), pytest.raises(RuntimeError):
        network(torch.rand(1, 3, SMALLEST - 1, SMALLEST - 1))


def test_branches_stand_in_torchvisions_order(network: InceptionV3) -> None:
    """The channels of a block, by hand from its parts."""
    x = torch.rand(1, 768, 5, 5)
    block = network.Mixed_7a
    with torch.inference_mode():
        y, z = x, x
        for name in ("branch3x3_1", "branch3x3_2"):
            y = block.get_submodule(name)(y)
        for name in ("branch7x7x3_1", "branch7x7x3_2", "branch7x7x3_3", "branch7x7x3_4"):
            z = block.get_submodule(name)(z)
        torch.testing.assert_close(block(x), torch.cat([y, z, F.max_pool2d(x, 3, 2)], 1))
        x, block = torch.rand(1, 1280, 3, 3), network.Mixed_7b
        y = block.branch3x3_1(x)
        z = block.branch3x3dbl_2(block.branch3x3dbl_1(x))
        parts = [block.branch1x1(x), block.branch3x3_2a(y), block.branch3x3_2b(y), block.branch3x3dbl_3a(z)]
        parts += [block.branch3x3dbl_3b(z), block.branch_pool(F.avg_pool2d(x, 3, 1, 1))]
        torch.testing.assert_close(block(x), torch.cat(parts, 1))


def test_torchvisions_auxiliary_head_is_passed_over(network: InceptionV3) -> None:
    state = {**network.state_dict(), "AuxLogits.conv0.conv.weight": torch.zeros(128, 768, 1, 1)}
    state["AuxLogits.fc.weight"] = torch.zeros(1000, 768)
    other = InceptionV3(1000, 3)
    report = fit_state(other, state)
    assert report.missing == report.skipped_shape == ()
    assert set(report.unexpected) == {"AuxLogits.conv0.conv.weight", "AuxLogits.fc.weight"}
    assert torch.equal(other.Mixed_6c.branch7x7_3.conv.weight, network.Mixed_6c.branch7x7_3.conv.weight)


def test_it_learns_eight_pictures_by_heart() -> None:
    torch.manual_seed(0)
    network = InceptionV3(1, 1)
    x = torch.rand(8, 1, SMALLEST, SMALLEST)
    target = torch.linspace(-1, 1, 8)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    losses = []
    for _ in range(15):
        loss = (network(x).squeeze(1) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert min(losses) < 0.1 < 0.2 < losses[0]
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
