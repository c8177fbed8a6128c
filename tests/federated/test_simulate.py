"""The rounds of a federation against the text's formulas worked out by hand, and against a kill."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from kinesics.engine.config import FitConfig
from kinesics.engine.fit import epoch_order, step_seed
from kinesics.errors import UserError
from kinesics.federated.attendance import Attendance
from kinesics.federated.config import FederationConfig
from kinesics.federated.exchange import Compression, Exchange
from kinesics.federated.mixing import by_size
from kinesics.federated.silo import Silo
from kinesics.federated.simulate import Network, simulate

PLAIN = FitConfig(
    batch_size=4, optimizer="sgd", lr=0.05, momentum=0.0, weight_decay=0.0, schedule="constant", precision="fp32",
    threads=1,
)  # fmt: skip


def run(make_line, data, matrix, config=PLAIN, seed=3, **federation):
    settings = FederationConfig(**{"rounds": 6, "evaluate_every": 2, **federation})
    return simulate(
        make_line, data, Network(matrix, lambda bits, ms: 10.0), settings, config, seed=seed, name="",
        judge=lambda state: {"size": float(state["model.weight"].abs().mean())},
    )  # fmt: skip


def by_hand(make_line, outcome, data, matrix, rounds, steps, size=4, rate=0.05, proximal=0.0):
    """DPASGD in float64 with the gradient of the mean squared error written out."""
    names = list(data)
    w = [first_weights(make_line) for _ in names]
    taken = [0] * len(names)
    for _ in range(rounds):
        w = [sum(float(matrix[i, j]) * w[j] for j in range(len(w))) for i in range(len(w))]
        mixed = [row.copy() for row in w]
        for i, name in enumerate(names):
            samples, silo = data[name], outcome.silos[i]
            batch = size if isinstance(size, int) else size[i]
            each = len(samples) // batch
            for _ in range(steps):
                epoch, number = divmod(taken[i], each)
                rows = epoch_order(len(samples), silo.seed, epoch)[number * batch : (number + 1) * batch]
                x = (samples.images[rows].reshape(batch, -1) / 255 - 0.5) / 0.25
                x = np.concatenate([x, np.ones((batch, 1))], 1)
                error = x @ w[i] - samples.columns["target"][rows]
                w[i] = w[i] - rate * (2 * x.T @ error / batch + proximal * (w[i] - mixed[i]))
                taken[i] += 1
    return np.stack(w)


def first_weights(make_line):
    """The weights that every silo of seed 3 begins with."""
    torch.manual_seed(step_seed(3, 0))
    line = make_line(2)
    return torch.cat([p.detach().flatten() for p in line.parameters()]).double().numpy()


@pytest.mark.parametrize("steps", [1, 3])
def test_dpasgd_is_the_texts_update(make_line, roads, ring, steps):
    outcome = run(make_line, roads, ring(4), local_steps=steps)
    expected = by_hand(make_line, outcome, roads, ring(4), 6, steps)
    assert outcome.stack.matrix.numpy() == pytest.approx(expected, abs=2e-5)
    average = outcome.average()["model.weight"].numpy().ravel()
    assert average == pytest.approx(expected.mean(0)[:64], abs=2e-5)
    assert [record["round"] for record in outcome.history] == [2, 4, 6]
    assert outcome.history[-1]["modelled_s"] == pytest.approx(0.06)
    assert outcome.history[-1]["message_bits"] == 6 * 4 * 65 * 32
    spread = np.sqrt(((expected - expected.mean(0)) ** 2).sum(1).mean())
    assert outcome.history[-1]["consensus"] == pytest.approx(spread, rel=1e-3)


def test_fedprox_pulls_towards_the_mixed_weights(make_line, roads, ring):
    outcome = run(make_line, roads, ring(4), local_steps=3, proximal=0.7)
    expected = by_hand(make_line, outcome, roads, ring(4), 6, 3, proximal=0.7)
    assert outcome.stack.matrix.numpy() == pytest.approx(expected, abs=2e-5)


def test_batches_by_size(make_line, roads, ring):
    """12, 14, 16 and 18 samples, 15 on average: of 5 on average 4, 4.67, 5.33 and 6."""
    outcome = run(make_line, roads, ring(4), replace(PLAIN, batch_size=5), batches="size", local_steps=2)
    expected = by_hand(make_line, outcome, roads, ring(4), 6, 2, size=[4, 5, 5, 6])
    assert outcome.stack.matrix.numpy() == pytest.approx(expected, abs=2e-5)
    smallest = run(make_line, roads, ring(4), replace(PLAIN, batch_size=2), batches="size")
    assert [silo.batch_size for silo in smallest.silos] == [2, 2, 2, 2]  # 1.6 is too few for statistics of a batch


def test_fedavg_is_the_mean_of_the_silos_by_size(make_line, roads):
    sizes = np.array([len(samples) for samples in roads.values()], dtype=float)
    outcome = run(make_line, roads, torch.eye(4, dtype=torch.float64), mode="sfl", weighting="size")
    mean = np.tile(sizes / sizes.sum(), (4, 1))
    expected = by_hand(make_line, outcome, roads, mean, 6, 1)
    assert outcome.stack.matrix.numpy() == pytest.approx(expected, abs=2e-5)
    final = outcome.average()["model.weight"].numpy().ravel()
    assert final == pytest.approx((sizes / sizes.sum() @ expected)[:64], abs=2e-5)


def test_peers_by_size_take_over_by_size(make_line, roads, ring):
    sizes = np.array([len(samples) for samples in roads.values()], dtype=float)
    outcome = run(make_line, roads, ring(4), weighting="size")
    taken = by_size(ring(4).numpy(), sizes) * sizes / sizes[:, None]
    expected = by_hand(make_line, outcome, roads, taken, 6, 1)
    assert outcome.stack.matrix.numpy() == pytest.approx(expected, abs=2e-5)
    final = outcome.average()["model.weight"].numpy().ravel()
    assert final == pytest.approx((sizes / sizes.sum() @ expected)[:64], abs=2e-5)


def test_fedavg_judges_those_that_took_part(make_line, roads):
    settings = {"mode": "sfl", "participation": 0.5, "rounds": 3, "evaluate_every": 3}
    outcome = run(make_line, roads, torch.eye(4, dtype=torch.float64), **settings)
    took_part = [silo.since == 0 and silo.progress.step > 0 for silo in outcome.silos]
    present = Attendance(list(roads), FederationConfig(participation=0.5), 3).present(2)
    assert present.sum() == 2 and all(np.array(took_part)[present])
    expected = outcome.stack.matrix[torch.from_numpy(present)].mean(0)[:64]
    assert torch.allclose(outcome.average()["model.weight"].flatten(), expected, atol=1e-6)


def test_a_silo_that_is_away_does_not_count_until_it_returns(make_line, roads, ring):
    outcome = run(make_line, roads, ring(4), rounds=4, away=["city2:2-9"])
    expected = outcome.stack.matrix[[0, 1, 3]].mean(0)[:64]
    assert torch.allclose(outcome.average()["model.weight"].flatten(), expected, atol=1e-6)


def test_running_averages_are_judged_and_change_nothing_else(make_line, roads, ring):
    """What is kept follows the weights after every round by hand; the weights go where they went without it."""
    judged, weights = [], []
    for rounds in range(1, 7):
        plain = run(make_line, roads, ring(4), rounds=rounds, weighting="size")
        weights.append(plain.average()["model.weight"].double())
    torch.manual_seed(step_seed(3, 0))
    average = make_line(2).model.weight.detach().double()
    for k, now in enumerate(weights):
        decay = min(0.3, (1 + k) / (10 + k))
        average = decay * average + (1 - decay) * now
        judged.append(float(average.abs().mean()))
    outcome = run(make_line, roads, ring(4), weighting="size", ema=0.3, evaluate_every=1)
    assert torch.equal(outcome.stack.matrix, plain.stack.matrix)
    assert [record["size"] for record in outcome.history] == pytest.approx(judged, abs=1e-6)
    assert torch.allclose(outcome.average()["model.weight"].double(), average, atol=1e-6)


def test_one_place_is_plain_gradient_descent(make_line, roads):
    name, samples = next(iter(roads.items()))
    outcome = run(make_line, {name: samples}, torch.eye(1, dtype=torch.float64), mode="cll", rounds=5)
    expected = by_hand(make_line, outcome, {name: samples}, np.eye(1), 5, 1)
    assert outcome.stack.matrix.numpy() == pytest.approx(expected, abs=2e-5)
    assert outcome.history[-1]["message_bits"] == 0


def test_what_belongs_to_a_silo_stays_in_it(make_line, roads, ring):
    outcome = run(make_line, roads, ring(4))
    for silo, samples in zip(outcome.silos, roads.values(), strict=True):
        assert silo.task.seen.shape == (len(samples),)
        assert silo.task.seen.sum() == 6 * 4  # its own batches and nobody else's


@pytest.mark.parametrize("changes", [
    {}, {"mode": "sfl", "participation": 0.5}, {"compression": "topk", "topk_share": 0.1}, {"proximal": 0.1},
    {"away": ["city1:1-4"], "weighting": "size", "batches": "size"}, {"local_steps": 3, "compression": "fp16"},
    {"away": ["city1:0-4"], "moments": "mixed", "ema": 0.7}, {"mode": "sfl", "participation": 0.5, "moments": "mixed"},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("killed_in", [2, 5])
def test_a_killed_federation_resumes_to_the_same_bits(
    make_line, roads, ring, tmp_path, monkeypatch, changes, killed_in
):
    settings = FederationConfig(**{"rounds": 7, "evaluate_every": 3, "checkpoint_every": 1, **changes})
    config = FitConfig(batch_size=4, lr=0.01, precision="fp32", threads=1)

    def go(folder, resume):
        return simulate(
            make_line, roads, Network(ring(4), lambda bits, ms: 10.0), settings, config, seed=3, name="",
            judge=lambda state: {"size": float(state["model.weight"].abs().mean())}, folder=folder, resume=resume,
        )  # fmt: skip

    whole = go(tmp_path / "whole", False)
    with monkeypatch.context() as patch:
        original, calls = Silo.step, iter(range(10**6))

        def step(self, *arguments):
            if next(calls) == 2 * killed_in + 1:
                raise KeyboardInterrupt
            return original(self, *arguments)

        patch.setattr(Silo, "step", step)
        with pytest.raises(KeyboardInterrupt):
            go(tmp_path / "killed", False)
    again = go(tmp_path / "killed", True)
    assert torch.equal(again.stack.matrix, whole.stack.matrix)
    drop = ("compute_s",)
    assert [{k: v for k, v in r.items() if k not in drop} for r in again.history] == [
        {k: v for k, v in r.items() if k not in drop} for r in whole.history
    ]


def test_it_does_not_start_over_checkpoints_nor_go_on_with_other_silos(make_line, roads, ring, tmp_path):
    settings = FederationConfig(rounds=2, evaluate_every=2, checkpoint_every=1)

    def go(data, matrix, resume):
        return simulate(
            make_line, data, Network(matrix, lambda bits, ms: 1.0), settings, PLAIN, seed=3, name="",
            judge=lambda state: {}, folder=tmp_path, resume=resume,
        )  # fmt: skip

    go(roads, ring(4), False)
    with pytest.raises(UserError, match="checkpoints already"):
        go(roads, ring(4), False)
    fewer = dict(list(roads.items())[:3])
    with pytest.raises(UserError, match="does not fit"):
        go(fewer, ring(3), True)


def test_a_silo_with_one_sample_is_named(make_line, roads, ring):
    roads["city2"] = roads["city2"].subset([0])
    with pytest.raises(UserError, match="city2"):
        run(make_line, roads, ring(4))


def test_peers_that_mix_fully_each_step_follow_the_union_of_their_batches(make_line, roads):
    """With A = 1/n and plain gradient steps the mean moves by the mean gradient: one large batch."""
    outcome = run(make_line, roads, torch.full((4, 4), 0.25, dtype=torch.float64), rounds=5)
    w = first_weights(make_line)
    for k in range(5):
        gradient = np.zeros(65)
        for silo, samples in zip(outcome.silos, roads.values(), strict=True):
            epoch, number = divmod(k, len(samples) // 4)
            rows = epoch_order(len(samples), silo.seed, epoch)[number * 4 : (number + 1) * 4]
            x = np.concatenate([(samples.images[rows].reshape(4, -1) / 255 - 0.5) / 0.25, np.ones((4, 1))], 1)
            gradient += 2 * x.T @ (x @ w - samples.columns["target"][rows]) / 4 / 4
        w = w - 0.05 * gradient
    assert outcome.stack.matrix.double().mean(0).numpy() == pytest.approx(w, abs=2e-5)


def test_an_exchange_of_another_size_is_not_taken_over(make_line, roads, ring):
    outcome = run(make_line, roads, ring(4))
    exchange = Exchange(outcome.stack, Compression())
    with pytest.raises(ValueError, match="push_weight"):
        exchange.load({"push_weight": torch.ones(3), "public": torch.zeros(0)})


@pytest.mark.parametrize("weighting", ["uniform", "size"])
def test_silos_without_links_are_what_each_gets_by_itself(make_line, roads, weighting):
    alone = run(make_line, roads, torch.eye(4, dtype=torch.float64), rounds=4, weighting=weighting)
    expected = by_hand(make_line, alone, roads, np.eye(4), 4, 1)
    assert alone.stack.matrix.numpy() == pytest.approx(expected, abs=2e-5)
    assert alone.history[-1]["message_bits"] == 0


def test_messages_are_counted_over_every_link_and_both_ways_with_a_server(make_line, roads):
    complete = torch.full((4, 4), 0.25, dtype=torch.float64)
    assert run(make_line, roads, complete, rounds=2).history[-1]["message_bits"] == 2 * 12 * 65 * 32
    assert run(make_line, roads, complete, rounds=2, mode="sfl").history[-1]["message_bits"] == 2 * 8 * 65 * 32
    absent = run(make_line, roads, complete, rounds=2, away=["city2:0-2"])
    assert absent.history[-1]["message_bits"] == 2 * 6 * 65 * 32
