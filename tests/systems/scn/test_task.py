"""The Self-Cure Network as a task: groups, tables by sample id, when and what is relabelled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from kinesics.data.samples import Samples
from kinesics.engine import distributed
from kinesics.engine.config import FitConfig
from kinesics.engine.fit import fit, predict_all
from kinesics.engine.prediction import Emotion
from kinesics.errors import UserError
from kinesics.systems.scn import losses
from kinesics.systems.scn import task as task_module
from kinesics.systems.scn.config import SCNConfig
from kinesics.systems.scn.task import SCN

N = 16


@pytest.fixture
def make(samples_of: Callable[..., Samples], spec_of: Callable[..., Any]) -> Callable[..., tuple[SCN, Samples]]:
    """A fresh task on 16 noise pictures."""

    def build(**options: Any) -> tuple[SCN, Samples]:
        torch.manual_seed(0)
        samples = samples_of(N, votes=options.get("labels") == "votes")
        task = SCN(SCNConfig(**options), spec_of(samples))
        task.attach(samples)
        return task, samples

    return build


def batch_of(task: SCN, samples: Samples, positions: list[int]) -> dict[str, torch.Tensor]:
    return task.transform(samples.batch(np.array(positions)), torch.Generator().manual_seed(0))


def test_loss_of_a_step_is_the_sum_of_its_parts(make: Callable[..., Any]) -> None:
    task, samples = make(rank_weight=2.0, margin=0.9)
    batch = batch_of(task, samples, list(range(10)))
    task.eval()
    found = task.training_step(batch)
    with torch.no_grad():
        feature = task.model.forward_features(batch["image"])
        alpha = torch.sigmoid(feature @ task.importance.weight[0] + task.importance.bias)
        logits = alpha.unsqueeze(1) * (feature @ task.model.fc.weight.T + task.model.fc.bias)
        cls = F.cross_entropy(logits, batch["label"])
        order = alpha.sort(descending=True).values
        rank = 0.9 - (order[:7].mean() - order[7:].mean())
    assert found["cls"].item() == pytest.approx(cls.item(), rel=1e-5)
    assert found["rank"].item() == pytest.approx(rank.item(), rel=1e-5)
    assert found["loss"].item() == pytest.approx((cls + 2 * rank).item(), rel=1e-5)


def test_answers_are_made_of_weighted_logits(make: Callable[..., Any]) -> None:
    task, samples = make()
    task.eval()
    batch = task.transform(samples.batch(np.arange(3)), None)
    with torch.inference_mode():
        _, alpha, logits = task.importance_and_logits(batch["image"])
        (answer, *_) = task.prediction_step(batch)
    expected = torch.softmax(alpha[0].double() * logits[0].double(), 0)
    assert list(answer.distribution.values()) == pytest.approx(expected.tolist(), abs=1e-6)


def contradicted(task: SCN) -> None:
    """Make the network sure of class 3 for every picture, all weights of the samples near 1."""
    with torch.no_grad():
        task.model.fc.weight.zero_()
        task.model.fc.bias.zero_()
        task.model.fc.bias[3] = 5.0
        task.importance.bias.fill_(2.0)


@pytest.mark.parametrize(("group", "changed"), [("all", 8), ("low", 3)])
def test_only_the_chosen_group_is_relabelled(make: Callable[..., Any], group: str, changed: int) -> None:
    """10 pictures, 2 of which are labelled 3 already; 3 are in the low group."""
    task, samples = make(relabel_share=0.0, relabel_group=group)
    contradicted(task)
    positions = list(range(10))  # labels 0 1 2 3 4 5 6 0 1 2
    batch = batch_of(task, samples, positions)
    task.optimizers(FitConfig(epochs=8))
    task.epoch_start(0)
    task.eval()
    task.training_step(batch)
    with torch.no_grad():
        alpha = task.importance_and_logits(batch["image"])[1]
    task.after_step(batch)
    low = torch.nonzero(~losses.high_importance(alpha, 0.7)).flatten().tolist()
    new = torch.nonzero(task.sample_label >= 0).flatten().tolist()
    expected = [i for i in (low if group == "low" else positions) if i != 3]
    assert new == expected and abs(len(new) - changed) <= 1
    assert (task.sample_label[new] == 3).all()
    torch.testing.assert_close(task.sample_importance[:10], alpha)
    assert (task.sample_importance[10:] == 0).all()
    # the next step learns the new labels, and a label may become the given one again
    found = task.training_step(batch)
    assert found["relabelled"].item() == pytest.approx(len(new) / 10)
    with torch.no_grad():
        task.model.fc.bias[3] = 0.0
        task.model.fc.bias[0] = 50.0
    task.training_step(batch)
    task.after_step(batch)
    if group == "all":
        assert task.sample_label[:10].tolist() == [-1, 0, 0, 0, 0, 0, 0, -1, 0, 0]


@pytest.mark.parametrize(
    ("options", "epochs", "first"),
    [({}, 8, 2), ({}, 10, 3), ({"relabel_epoch": 10}, 70, 9), ({"relabel_share": 1.0}, 5, 5)],
)
def test_relabelling_starts_when_it_should(
    make: Callable[..., Any], options: dict[str, Any], epochs: int, first: int
) -> None:
    """Epochs counted from 0: a quarter of 8 are before the third; "from the 10th" is number 9."""
    task, samples = make(relabel_group="all", **options)
    contradicted(task)
    batch = batch_of(task, samples, [0, 1, 2, 4])
    task.optimizers(FitConfig(epochs=epochs))
    for epoch in (first - 1, first):
        task.epoch_start(epoch)
        task.eval()
        task.training_step(batch)
        task.after_step(batch)
        assert bool((task.sample_label >= 0).any()) == (epoch == first)


def test_a_relabelled_sample_is_not_taught_its_votes(make: Callable[..., Any]) -> None:
    task, samples = make(labels="votes", rank_weight=0.0)
    batch = batch_of(task, samples, [2, 5])
    task.eval()
    with torch.no_grad():
        logits = task.features_and_logits(batch["image"])[1].double()
        task.sample_label[5] = 1
        found = task.training_step(batch)["loss"].item()
    log_p = torch.log_softmax(logits, 1)
    expected = -((batch["distribution"][0].double() * log_p[0]).sum() + log_p[1, 1]) / 2
    assert found == pytest.approx(expected.item(), rel=1e-5)


def test_a_replaced_label_is_smoothed_like_any_other(make: Callable[..., Any]) -> None:
    task, samples = make(rank_weight=0.0, label_smoothing=0.2)
    batch = batch_of(task, samples, [2, 5])
    task.eval()
    with torch.no_grad():
        log_p = torch.log_softmax(task.features_and_logits(batch["image"])[1].double(), 1)
        task.sample_label[5] = 1
        batch["distribution"] = torch.full((2, log_p.shape[1]), 1 / log_p.shape[1])  # of a manifest with votes
        found = task.training_step(batch)["loss"].item()
    taught = torch.full_like(log_p, 0.2 / log_p.shape[1])
    taught[0, batch["label"][0]] += 0.8
    taught[1, 1] += 0.8
    assert found == pytest.approx(-(taught * log_p).sum(1).mean().item(), rel=1e-5)


def test_a_learnt_margin_only_shrinks(make: Callable[..., Any]) -> None:
    task, samples = make(learn_margin=True, margin=0.5)
    task.training_step(batch_of(task, samples, list(range(8))))["loss"].backward()
    assert task.margin is not None and task.margin.grad.item() == pytest.approx(1.0)
    assert "margin" in task.shared_state()


def test_two_processes_rank_the_whole_batch(make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean of two processes' gradients of L_RR is the gradient of one process with the whole batch."""
    torch.manual_seed(1)
    whole = torch.rand(10, dtype=torch.float64, requires_grad=True)
    losses.rank_regularisation(whole, losses.high_importance(whole, 0.7), 0.9).backward()
    expected, parts = whole.grad.clone(), []
    for rank in (0, 1):
        own = whole.detach()[rank * 5 : rank * 5 + 5].clone().requires_grad_()
        with monkeypatch.context() as patch:
            patch.setattr(distributed, "world_size", lambda: 2)
            patch.setattr(distributed, "rank", lambda rank=rank: rank)
            patch.setattr(distributed, "gather_rows", lambda *_: (whole.detach(),))
            everyones, place = task_module._whole_batch(own)
        assert torch.equal(everyones.detach(), whole.detach()) and place == slice(rank * 5, rank * 5 + 5)
        losses.rank_regularisation(everyones, losses.high_importance(everyones, 0.7), 0.9).backward()
        parts.append(own.grad / 2)  # averaged over the processes
    torch.testing.assert_close(torch.cat(parts), expected)


def test_labels_and_importance_stay_at_home_and_come_back(make: Callable[..., Any]) -> None:
    task, _ = make()
    assert set(task.local_state()) == {"sample_label", "sample_importance"}
    task.sample_label[4] = 2
    other, _ = make()
    other.load_state_dict(task.state_dict())
    assert other.current_labels(torch.tensor([3, 4]), torch.tensor([3, 4])).tolist() == [3, 2]


def test_scores_of_samples_say_what_was_relabelled(make: Callable[..., Any]) -> None:
    task, samples = make()
    task.sample_label[[1, 6]] = torch.tensor([5, 0])
    task.sample_importance.copy_(torch.linspace(0, 1, N))
    row = dict.fromkeys(samples.classes, 1 / 7)
    scores = task.sample_scores(samples, [Emotion(distribution=row)] * N)
    assert np.flatnonzero(scores["relabelled"]).tolist() == [1, 6]
    assert scores["target"].argmax(1)[[0, 1, 6]].tolist() == [0, 5, 0]
    assert scores["label_doubt"][[0, 1]] == pytest.approx([3 / 7, 13 / 14])
    assert scores["uncertainty"] == pytest.approx(1 - np.linspace(0, 1, N))


def test_wrong_labels_are_replaced_in_a_training(
    samples_of: Callable[..., Samples], spec_of: Callable[..., Any]
) -> None:
    """40 bright and dark pictures, 4 labelled wrongly: those are the ones that end with another label."""
    samples = samples_of(40)
    truth = np.arange(40) % 2
    images = np.broadcast_to((50 + 150 * truth).astype(np.uint8)[:, None, None, None], samples.images.shape)
    wrong = [3, 10, 21, 32]
    label = truth.copy()
    label[wrong] = 1 - label[wrong]
    noisy = Samples(images, samples.rows, {"label": label}, samples.names, ("a", "b"))
    torch.manual_seed(0)
    task = SCN(SCNConfig(relabel_group="all"), spec_of(noisy))
    config = FitConfig(epochs=12, batch_size=20, lr=0.01, ema=0.0, precision="fp32", threads=1)
    fit(task, noisy, None, config, seed=0, name="")
    assert torch.nonzero(task.sample_label >= 0).flatten().tolist() == wrong
    scores = task.sample_scores(noisy, predict_all(task, noisy, 40))
    assert sorted(np.argsort(-scores["label_doubt"])[:4].tolist()) == wrong


def test_eight_colour_samples_are_learned_by_heart(
    samples_of: Callable[..., Samples], spec_of: Callable[..., Any], learned_by_heart: Callable[..., float]
) -> None:
    samples = samples_of(8, 3)
    assert learned_by_heart(SCN(SCNConfig(relabel_share=1.0), spec_of(samples)), samples) == 1.0


@pytest.mark.parametrize(
    ("setting", "value"),
    [("beta", 1.0), ("margin", -0.1), ("relabel_share", 1.5), ("relabel_group", "high"), ("relabel_epoch", -1)],
)
def test_wrong_settings_are_named(setting: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"--task.{setting}"):
        SCNConfig(**{setting: value})
