"""Erasing Attention Consistency as a task: what is erased and mirrored, and what learns from what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from kinesics.data.augment import AugmentConfig
from kinesics.data.samples import Samples
from kinesics.errors import UserError
from kinesics.systems.eac.config import EACConfig
from kinesics.systems.eac.task import EAC

ERASED = AugmentConfig(flip=0.5, rotate=10.0, contrast=0.2, erase=1.0, erase_area=0.25)


@pytest.fixture
def make(samples_of: Callable[..., Samples], spec_of: Callable[..., Any]) -> Callable[..., tuple[EAC, Samples]]:
    """A fresh task on 8 noise pictures of 32 pixels."""

    def build(augment: AugmentConfig | None = None, channels: int = 1, **options: Any) -> tuple[EAC, Samples]:
        torch.manual_seed(0)
        samples = samples_of(8, channels, size=32)
        task = EAC(EACConfig(**options), spec_of(samples), augment)
        task.attach(samples)
        return task, samples

    return build


def batch_of(task: EAC, samples: Samples) -> dict[str, torch.Tensor]:
    return task.transform(samples.batch(np.arange(8)), torch.Generator().manual_seed(5))


@pytest.mark.parametrize("channels", [1, 3])
def test_views_differ_in_what_is_erased_only(make: Callable[..., Any], channels: int) -> None:
    task, samples = make(AugmentConfig(rotate=10.0, erase=1.0, erase_area=0.25), channels)
    batch = batch_of(task, samples)
    plain = AugmentConfig(rotate=10.0)
    untouched = batch_of(make(plain, channels)[0], samples)["image"]
    own, other = batch["image"], batch["mirrored"].flip(3)
    changed = [(view != untouched).any(1).flatten(1).double().mean(1) for view in (own, other)]
    for share in changed:
        assert (share > 0.005).all() and (share < 0.3).all()
    assert ((own != other).flatten(1).any(1)).all()
    assert batch["image"].shape == batch["mirrored"].shape == (8, channels, 32, 32)


def test_shared_erasing_is_the_mirrored_image(make: Callable[..., Any]) -> None:
    task, samples = make(ERASED, erasing="shared")
    batch = batch_of(task, samples)
    assert torch.equal(batch["mirrored"], batch["image"].flip(3))


def test_without_erasing_both_ways_are_the_same(make: Callable[..., Any]) -> None:
    plain = AugmentConfig(flip=0.5, rotate=10.0, contrast=0.2)
    apart, shared = (batch_of(*make(plain, erasing=way)) for way in ("apart", "shared"))
    assert torch.equal(apart["image"], shared["image"]) and torch.equal(apart["mirrored"], shared["mirrored"])


def test_judging_sees_whole_images(make: Callable[..., Any]) -> None:
    task, samples = make(ERASED)
    found = task.transform(samples.batch(np.arange(3)), None)
    assert "mirrored" not in found
    expected = (torch.from_numpy(samples.images[:3, ..., 0]) / 255 - 0.5) / 0.25
    torch.testing.assert_close(found["image"][:, 0], expected)


def test_loss_of_a_step_against_two_passes(make: Callable[..., Any]) -> None:
    """With frozen statistics the one doubled batch gives what two passes give."""
    task, samples = make(ERASED, weight=3.0)
    batch = batch_of(task, samples)
    task.eval()
    found = task.training_step(batch)
    with torch.no_grad():
        weight = task.model.fc.weight
        maps, mirrored = (
            (task.model.forward_maps(batch[name])[:, None] * weight[None, :, :, None, None]).sum(2)
            for name in ("image", "mirrored")
        )
        consistency = F.mse_loss(maps, torch.flip(mirrored, [-1]))
        cls = F.cross_entropy(task.model(batch["image"]), batch["label"])
    assert found["cls"].item() == pytest.approx(cls.item(), rel=1e-5)
    assert found["consistency"].item() == pytest.approx(consistency.item(), rel=1e-4)
    assert found["loss"].item() == pytest.approx((cls + 3 * consistency).item(), rel=1e-5)


def test_the_mirror_image_has_no_classification_loss(make: Callable[..., Any]) -> None:
    task, samples = make(weight=0.0)
    batch = batch_of(task, samples)
    batch["mirrored"].requires_grad_()
    task.eval()
    task.training_step(batch)["loss"].backward()
    assert batch["mirrored"].grad is None or not batch["mirrored"].grad.any()
    task, _ = make(weight=1.0)
    batch["mirrored"].grad = None
    task.eval()
    task.training_step(batch)["loss"].backward()
    assert batch["mirrored"].grad.flatten(1).any(1).all()


def test_consistency_teaches_the_features_and_the_classifier_only_when_asked(make: Callable[..., Any]) -> None:
    gradient = {}
    for detached in (True, False):
        for weight in (0.0, 5.0):
            task, samples = make(ERASED, weight=weight, detach_classifier=detached)
            task.eval()
            task.training_step(batch_of(task, samples))["loss"].backward()
            gradient[detached, weight] = task.model.fc.weight.grad, task.model.conv1.weight.grad
    assert torch.allclose(gradient[True, 0.0][0], gradient[True, 5.0][0], atol=1e-7)
    assert not torch.allclose(gradient[False, 0.0][0], gradient[False, 5.0][0], atol=1e-3)
    assert not torch.allclose(gradient[True, 0.0][1], gradient[True, 5.0][1], atol=1e-3)


def test_symmetric_faces_have_no_inconsistency_in_a_symmetric_network(make: Callable[..., Any]) -> None:
    """Kernels made symmetric from left to right, at a width where strides meet in the middle: flips commute."""
    task, _ = make(erasing="shared")
    with torch.no_grad():
        for parameter in task.model.parameters():
            if parameter.ndim == 4:
                parameter.copy_((parameter + parameter.flip(3)) / 2)
    task.eval()
    image = torch.rand(4, 1, 33, 33)  # 33, 17, 9, 5, 3: odd at every stage
    maps, mirrored = task.model.forward_maps(torch.cat([image, image.flip(3)])).chunk(2)
    assert torch.allclose(maps, mirrored.flip(3), atol=1e-5)


def test_eight_samples_are_learned_by_heart(
    samples_of: Callable[..., Samples], spec_of: Callable[..., Any], learned_by_heart: Callable[..., float]
) -> None:
    samples = samples_of(8)
    assert learned_by_heart(EAC(EACConfig(weight=0.2), spec_of(samples)), samples) == 1.0


def test_wrong_settings_are_named() -> None:
    with pytest.raises(UserError, match="--task.weight"):
        EACConfig(weight=-1.0)
    with pytest.raises(UserError, match="--task.erasing"):
        EACConfig(erasing="twice")
    with pytest.raises(UserError, match="--task.label_smoothing"):
        EACConfig(label_smoothing=1.0)
