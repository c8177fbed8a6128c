"""LDLVA as a task: what a step does to the bank, to lambda and to the centres, seen from outside."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from kinesics.data.emotions import BASIC, circumplex_coordinates
from kinesics.data.samples import Samples
from kinesics.engine.config import FitConfig
from kinesics.engine.prediction import Emotion
from kinesics.engine.task import DataSpec, Preparation
from kinesics.metrics.label_noise import anchor_counts, label_given_truth, posterior
from kinesics.systems.ldlva import losses
from kinesics.systems.ldlva import task as module
from kinesics.systems.ldlva.config import LDLVAConfig
from kinesics.systems.ldlva.model import Calibration
from kinesics.systems.ldlva.neighbours import Neighbourhood, nearest
from kinesics.systems.ldlva.task import LDLVA

N, K = 24, 3


def make_task(**options):
    """A task on N random images with neighbours among random positions, nothing trained; lambda 0.4, no bank held."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    samples = Samples(
        rng.integers(0, 256, (N, 24, 24, 1), dtype=np.uint8),
        np.arange(N),
        {"label": np.arange(N) % 7},
        np.array([f"{i}.png" for i in range(N)]),
        BASIC,
    )
    task = LDLVA(
        LDLVAConfig(k=K, **{"uncertainty_init": 0.4, "bank_hold": 0, **options}), DataSpec(BASIC, 24, 1, 0.5, 0.25, N)
    )
    task.attach(samples)
    place = rng.uniform(-1, 1, (N, 2))
    index = nearest(place, K)
    task.neighbour_index.copy_(torch.from_numpy(index))
    a = torch.from_numpy(place)
    task.neighbour_similarity.copy_(losses.local_similarity(a.unsqueeze(1), a[index], 0.3))
    if options.get("neighbours", "bank") == "bank":
        task.bank_probability.copy_(torch.softmax(torch.randn(N, 7), 1))
        task.bank_feature.copy_(torch.rand(N, 256))
    return task, samples


def batch_of(task, samples, positions):
    return task.transform(samples.batch(np.asarray(positions)), torch.Generator().manual_seed(0))


def test_calibration_is_an_mlp_on_the_concatenation():
    """Splitting the first layer changes nothing: compared with one linear layer on [v_i, v_k], in float64."""
    torch.manual_seed(1)
    g = Calibration(5, [4, 3]).double()
    own, other = torch.randn(2, 5, dtype=torch.float64), torch.randn(2, 6, 5, dtype=torch.float64)
    first = torch.cat([g.own.weight, g.other.weight], 1)
    pairs = torch.cat([own.unsqueeze(1).expand(-1, 6, -1), other], 2)
    hidden = torch.relu(F.linear(pairs, first, g.own.bias))
    expected = torch.sigmoid(F.linear(torch.relu(F.linear(hidden, g.rest[1].weight, g.rest[1].bias)),
                                      g.rest[3].weight, g.rest[3].bias)).squeeze(2)  # fmt: skip
    assert torch.allclose(g(own, other), expected.float(), atol=1e-6)


def test_calibration_floor_is_the_released_one():
    g = Calibration(5, [4], floor=-1.3)
    torch.nn.init.constant_(g.rest[-1].bias, -50.0)
    assert torch.allclose(g(torch.zeros(1, 5), torch.zeros(1, 2, 5)), torch.tensor(0.2142), atol=1e-4)


@pytest.mark.parametrize("alignment", ["none", "labels"])
def test_loss_of_a_step_against_the_formulas(alignment):
    """The whole step in one expression each, from the bank's stored values."""
    task, samples = make_task(gamma=0.02, centre_init=1.0, alignment=alignment)
    if alignment == "labels":
        task.neighbour_factor.copy_(torch.linspace(0.5, 2.0, 7))
    task.eval()  # batch statistics aside, the same numbers
    positions = [1, 5, 9, 20]
    batch = batch_of(task, samples, positions)
    found = task.training_step(batch)
    with torch.no_grad():
        v = task.model.forward_features(batch["image"])
        log_f = torch.log_softmax(task.model.fc(v), 1)
        neighbour = task.neighbour_index[positions].long()
        v_k, p_k = task.bank_feature[neighbour].float(), task.bank_probability[neighbour].float()
        c = task.calibrate_pairs(v, v_k) * task.neighbour_similarity[positions]
        mixed = torch.einsum("bk,bkc->bc", c / c.sum(1, keepdim=True), p_k)
        if alignment == "labels":
            mixed = mixed * torch.linspace(0.5, 2.0, 7)
            mixed = mixed / mixed.sum(1, keepdim=True)
        y = batch["label"]
        d = 0.6 * F.one_hot(y, 7) + 0.4 * mixed
        cls = -(d * log_f).sum(1).mean()
        intra = 0.5 * (0.6 * (v - task.centres[y]).pow(2).sum(1)).mean()
        apart = torch.cdist(task.centres, task.centres).pow(2)
        inter = torch.exp(-apart / 16).sum() - 7
    assert found["cls"].item() == pytest.approx(cls.item(), rel=1e-5)
    assert found["centre"].item() == pytest.approx((intra + inter).item(), rel=1e-4)
    assert found["loss"].item() == pytest.approx((cls + 0.02 * (intra + inter)).item(), rel=1e-5)


def test_gradient_reaches_what_it_should_and_nothing_else():
    task, samples = make_task(centre_init=1.0)
    task.training_step(batch_of(task, samples, [1, 5, 9, 20]))["loss"].backward()
    lam = task.uncertainty_logit.grad
    assert set(torch.nonzero(lam).flatten().tolist()) == {1, 5, 9, 20}
    assert task.calibrate_pairs.own.weight.grad.abs().sum() > 0
    assert task.centres.grad.abs().sum() > 0
    assert task.model.conv1.weight.grad.abs().sum() > 0


def test_centre_term_reaches_lambda_only_when_asked():
    found = {}
    for through in (False, True):
        task, samples = make_task(uncertainty_through_centres=through, gamma=1.0, centre_init=1.0)
        task.training_step(batch_of(task, samples, [1, 5, 9, 20]))["loss"].backward()
        found[through] = task.uncertainty_logit.grad[[1, 5, 9, 20]]
    assert (found[True] < found[False]).all()


def moved(reference, positions):
    """How far a step of these samples moves lambda's logits; without batch statistics."""
    task, samples = make_task(uncertainty_batch=reference, gamma=0.0)
    task.eval()
    before = task.uncertainty_logit.detach().clone()
    specs = task.optimizers(FitConfig(batch_size=len(positions)))
    task.training_step(batch_of(task, samples, positions))["loss"].backward()
    specs[1].optimizer.step()
    return (task.uncertainty_logit.detach() - before)[positions]


def test_lambda_moves_as_far_in_any_batch_where_its_rate_goes_by_the_batch():
    alone, together = moved(64, [5, 9]), moved(64, [5, 9, 1, 20, 11, 17, 3, 8])
    assert torch.allclose(alone, together[:2], rtol=1e-4) and (alone.abs() > 0.001).all()
    assert torch.allclose(moved(0, [5, 9]), alone * 32, rtol=1e-4)  # a batch of 2 divides by 2, not by 64
    assert torch.allclose(moved(0, [5, 9, 1, 20]), moved(64, [5, 9, 1, 20]) * 16, rtol=1e-4)


@pytest.mark.parametrize("wrong", [0, 6, 23])
@pytest.mark.parametrize("alignment", ["labels", "none"])
def test_lambda_starts_where_labels_and_neighbours_come_nearest_to_the_truth(monkeypatch, wrong, alignment):
    """Of all lambda in steps of .001; the truth is what Bayes' rule makes of teachers that are sure."""
    task, samples = make_task(uncertainty_start="fitted", alignment=alignment)
    label = samples.columns["label"]
    sure = np.eye(7)[np.where(np.arange(N) < wrong, (label + 1 + np.arange(N) % 6) % 7, label)]
    teacher = 0.94 * sure + 0.06 * np.random.default_rng(2).dirichlet(np.ones(7), N)
    place = Neighbourhood(teacher @ circumplex_coordinates(BASIC), "teacher", teacher=teacher)
    monkeypatch.setattr(module, "locate", lambda *_: place)
    task.prepare(samples, Preparation(lambda *_: None, FitConfig(), 0, None))
    index, similarity = task.neighbour_index.long().numpy(), task.neighbour_similarity.double().numpy()
    mixed = (similarity[:, :, None] * teacher[index]).sum(1) / similarity.sum(1)[:, None]
    if alignment == "labels":
        mixed = scaled(mixed, np.eye(7)[label].mean(0))
    truth = posterior(teacher, label, label_given_truth(anchor_counts(teacher, label)))
    steps = np.arange(0.05, 0.5001, 0.001)
    distance = [((np.eye(7)[label] * (1 - w) + w * mixed - truth) ** 2).sum() for w in steps]
    start = steps[int(np.argmin(distance))]
    assert np.allclose(task.uncertainty.numpy(), start, atol=0.003)
    assert task.notes["uncertainty_start"] == pytest.approx(start, abs=0.003)


def scaled(rows, wanted):
    """Rows summing to 1 whose mean is `wanted`, by iterative proportional fitting of the whole table."""
    for _ in range(5000):
        rows = rows * (wanted / rows.mean(0))
        rows = rows / rows.sum(1, keepdims=True)
    return rows


def test_neighbours_leave_classes_as_frequent_as_the_labels_have_them():
    """A step's targets, over all samples, with a lambda of each sample's own; the factors last for an epoch."""
    task, samples = make_task(alignment="labels")
    with torch.no_grad():
        task.uncertainty_logit.copy_(torch.linspace(-2, 2, N))
    task.bank_probability.copy_(torch.softmax(torch.randn(N, 7) + torch.tensor([3.0, 1, 0, 0, 0, 0, -1]), 1))
    torch.nn.init.zeros_(task.calibrate_pairs.own.weight)  # so that the step's own features don't count
    torch.nn.init.zeros_(task.calibrate_pairs.other.weight)
    task.epoch_start(0)
    targets = []
    keep = losses.target_distribution

    def noted(*parts):
        targets.append(keep(*parts))
        return targets[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(losses, "target_distribution", noted)
        task.training_step(batch_of(task, samples, np.arange(N)))
    frequency = np.bincount(samples.columns["label"], minlength=7) / N
    assert targets[0].detach().mean(0).numpy() == pytest.approx(frequency, abs=1e-4)
    factor = task.neighbour_factor.clone()
    task.bank_probability.copy_(task.bank_probability.roll(1, 1))
    task.epoch_start(0)  # as a resume within the epoch does
    assert torch.equal(task.neighbour_factor, factor)
    task.epoch_start(1)
    assert not torch.allclose(task.neighbour_factor, factor)


def test_looking_at_all_neighbours_teaches_their_calibration_nothing():
    task, _ = make_task(calibration_norm=True, warmup=1, alignment="labels")
    before = {name: value.clone() for name, value in task.calibrate_pairs.state_dict().items()}
    task.epoch_start(0)
    assert bool((task.neighbour_aligned == -1).all())  # neighbours don't count yet
    task.epoch_start(1)
    assert bool((task.neighbour_aligned == 1).all()) and task.calibrate_pairs.training
    assert all(torch.equal(value, before[name]) for name, value in task.calibrate_pairs.state_dict().items())


def test_without_alignment_neighbours_say_what_they_say():
    for options in ({}, {"alignment": "labels", "neighbours": "forward"}):
        task, _ = make_task(**options)
        task.epoch_start(0)
        assert "neighbour_factor" not in task.state_dict()


@pytest.mark.parametrize("options", [{"uncertainty_start": "constant"}, {"uncertainty_start": "fitted"}])
def test_lambda_starts_where_it_is_told_without_a_teacher_or_a_wish(monkeypatch, options):
    task, samples = make_task(**options)
    teacher = None if options["uncertainty_start"] == "fitted" else np.full((N, 7), 1 / 7)
    place = Neighbourhood(np.random.default_rng(0).uniform(-1, 1, (N, 2)), "columns", teacher=teacher)
    monkeypatch.setattr(module, "locate", lambda *_: place)
    task.prepare(samples, Preparation(lambda *_: None, FitConfig(), 0, None))
    assert np.allclose(task.uncertainty.numpy(), 0.4)
    assert "uncertainty_start" not in task.notes


def test_bank_is_written_for_the_drawn_samples_alone():
    task, samples = make_task()
    feature, probability = task.bank_feature.clone(), task.bank_probability.clone()
    batch = batch_of(task, samples, [1, 5, 9, 20])
    task.epoch_start(0)
    task.training_step(batch)
    task.after_step(batch)
    changed = (task.bank_feature != feature).any(1)
    assert set(torch.nonzero(changed).flatten().tolist()) == {1, 5, 9, 20}
    changed = (task.bank_probability != probability).any(1)
    assert set(torch.nonzero(changed).flatten().tolist()) == {1, 5, 9, 20}
    assert task.bank_probability[[1, 5, 9, 20]].sum(1).numpy() == pytest.approx(np.ones(4), abs=2e-3)


def test_bank_holds_its_first_predictions_and_then_mixes():
    task, samples = make_task(bank_hold=2, bank_momentum=0.75)
    before = task.bank_probability.clone()
    batch = batch_of(task, samples, [1, 5])
    for epoch in (0, 1):
        task.epoch_start(epoch)
        task.training_step(batch)
        task.after_step(batch)
    assert torch.equal(task.bank_probability, before)
    task.epoch_start(2)
    task.training_step(batch)
    now = task._fresh[1]
    task.after_step(batch)
    expected = 0.75 * before[[1, 5]].float() + 0.25 * now
    assert torch.allclose(task.bank_probability[[1, 5]].float(), expected, atol=1e-3)


def test_after_the_held_epochs_the_banks_predictions_place_the_samples():
    task, _ = make_task(bank_hold=2)
    first = task.neighbour_index.clone()
    for epoch in (0, 5):
        task.epoch_start(epoch)
    assert torch.equal(task.neighbour_index, first)  # nobody said that a teacher placed them
    task.neighbour_placed.fill_(2)
    task.epoch_start(2)
    assert torch.equal(task.neighbour_index, first)
    task.epoch_start(3)
    position = task.bank_probability.double() @ torch.from_numpy(circumplex_coordinates(BASIC)).double()
    distance = torch.cdist(position, position).fill_diagonal_(torch.inf)
    nearest_first, index = distance.sort(1)
    assert torch.equal(task.neighbour_index.long(), index[:, :K])
    expected = torch.exp(-nearest_first[:, :K].square() / 0.3**2).float()
    assert torch.allclose(task.neighbour_similarity, expected, atol=1e-6)
    task.bank_probability.copy_(task.bank_probability.roll(1, 0))
    task.epoch_start(3)
    assert torch.equal(task.neighbour_index.long(), index[:, :K])  # once an epoch
    task.epoch_start(4)
    assert not torch.equal(task.neighbour_index.long(), index[:, :K])


def test_forward_and_a_fresh_bank_agree():
    """With frozen statistics and no augmentation, a bank that was just written answers as a forward pass does."""
    bank, samples = make_task()
    forward, _ = make_task(neighbours="forward")
    forward.load_shared_state(bank.shared_state())
    bank.eval(), forward.eval()
    with torch.no_grad():
        everything = bank.transform(samples.batch(np.arange(N)), None)
        v, logits = bank.features_and_logits(everything["image"])
        bank.bank_feature.copy_(v)
        bank.bank_probability.copy_(torch.softmax(logits, 1))
    batch = bank.transform(samples.batch(np.array([2, 3, 11])), None)
    # Mirroring is the only random change of the default augmentation: switch it off for the neighbours' pass.
    forward._augment = type(forward._augment)(type(forward._augment.config).none(), 0.5, 0.25)
    one, other = bank.training_step(batch), forward.training_step(batch)
    assert one["loss"].item() == pytest.approx(other["loss"].item(), rel=2e-3)


def test_moved_centres_follow_the_released_rule():
    task, samples = make_task(centres="moved", centre_lr=0.5, neighbours_in_centres=True, centre_init=1.0)
    before = task.centres.detach().clone()
    batch = batch_of(task, samples, [1, 5, 9, 20])
    task.eval()
    task.training_step(batch)
    with torch.no_grad():
        own = task.model.forward_features(batch["image"])
        neighbour = task.neighbour_index[[1, 5, 9, 20]].long().flatten()
        feature = torch.cat([own, task.bank_feature[neighbour].float()])
        label = torch.cat([batch["label"], torch.from_numpy(samples.columns["label"])[neighbour]])
    expected = losses.move_centres_release(before, feature, label, torch.full((16,), 0.4), 0.5)
    assert torch.allclose(task.centres, expected, atol=1e-5)


def test_warm_up_is_plain_cross_entropy():
    task, samples = make_task(warmup=1)
    batch = batch_of(task, samples, [1, 5, 9, 20])
    task.eval()
    task.epoch_start(0)
    found = task.training_step(batch)
    assert set(found) == {"loss"}
    expected = F.cross_entropy(task.features_and_logits(batch["image"])[1], batch["label"])
    assert found["loss"].item() == pytest.approx(expected.item(), rel=1e-5)
    task.epoch_start(1)
    assert "cls" in task.training_step(batch)


def test_balanced_class_weights():
    task, samples = make_task(class_weights="balanced")
    count = np.bincount(samples.columns["label"], minlength=7)
    weight = task.sample_weights(torch.from_numpy(samples.columns["label"]))
    assert weight.numpy() == pytest.approx(N / (7 * count[samples.columns["label"]]), rel=1e-5)
    assert weight.mean().item() == pytest.approx(1.0)


@pytest.mark.parametrize("alignment", ["none", "labels"])
def test_constructed_target_and_doubt(alignment):
    task, samples = make_task(alignment=alignment)
    rows = torch.softmax(torch.randn(N, 7), 1).numpy()
    answers = [Emotion(distribution=dict(zip(BASIC, row.tolist(), strict=True))) for row in rows]
    scores = task.sample_scores(samples, answers)
    target = scores["target"]
    assert target.sum(1) == pytest.approx(np.ones(N), abs=1e-5)
    label = samples.columns["label"]
    neighbour = task.neighbour_index.long()
    zeta = task.calibrate_pairs(task.bank_feature.float(), task.bank_feature[neighbour].float()).detach()
    c = (zeta * task.neighbour_similarity).double().numpy()
    mixed = (c[:, :, None] * rows[neighbour.numpy()]).sum(1) / c.sum(1, keepdims=True)
    if alignment == "labels":
        mixed = scaled(mixed, np.eye(7)[label].mean(0))
    expected = (0.6 * np.eye(7)[label] + 0.4 * mixed)[7]
    assert target[7] == pytest.approx(expected, abs=1e-5)
    doubt = 1 - (rows[7, label[7]] + expected[label[7]]) / 2
    assert scores["label_doubt"][7] == pytest.approx(doubt, abs=1e-5)
    assert scores["uncertainty"] == pytest.approx(np.full(N, 0.4), abs=1e-6)
