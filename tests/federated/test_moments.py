"""What is mixed beside the weights: by hand in float64, on the wire, and where it stays."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from kinesics.engine.config import FitConfig
from kinesics.engine.fit import epoch_order, step_seed
from kinesics.errors import UserError
from kinesics.federated.attendance import Attendance, among
from kinesics.federated.config import FederationConfig
from kinesics.federated.exchange import Compression, Exchange
from kinesics.federated.moments import GradientStatistics
from kinesics.federated.simulate import Network, simulate
from kinesics.federated.stack import Stack
from kinesics.nn.compact import CompactNet
from kinesics.nn.renorm import MovingNorm, renormalise

ADAM = FitConfig(batch_size=4, lr=0.02, weight_decay=0.1, schedule="constant", precision="fp32", threads=1)
SGD = replace(ADAM, optimizer="sgd", momentum=0.9, weight_decay=0.0)


def run(make_line, data, matrix, config, **federation):
    settings = FederationConfig(**{"rounds": 6, "evaluate_every": 3, "moments": "mixed", **federation})
    return simulate(
        make_line, data, Network(matrix, lambda bits, ms: bits / 1000), settings, config, seed=3, name="",
        judge=lambda state: {},
    )  # fmt: skip


def by_hand(make_line, outcome, data, matrix, config, rounds, steps, present=lambda k: np.ones(4, bool)):
    """Weights, first and second moments are mixed, then every silo that is there steps; everything in float64."""
    torch.manual_seed(step_seed(3, 0))
    line = make_line(2)
    start = torch.cat([p.detach().flatten() for p in line.parameters()]).double().numpy()
    w, m, v = np.stack([start] * 4), np.zeros((4, 65)), np.zeros((4, 65))
    decay = np.append(np.full(64, config.weight_decay), 0.0)  # the bias is not decayed
    taken = [0] * 4
    for k in range(rounds):
        here = among(matrix, present(k)).numpy()
        w, m, v = here @ w, here @ m, here @ v
        for i in np.flatnonzero(present(k)):
            samples, silo = list(data.values())[i], outcome.silos[i]
            for _ in range(steps):
                epoch, number = divmod(taken[i], len(samples) // 4)
                rows = epoch_order(len(samples), silo.seed, epoch)[number * 4 : (number + 1) * 4]
                x = np.concatenate([(samples.images[rows].reshape(4, -1) / 255 - 0.5) / 0.25, np.ones((4, 1))], 1)
                gradient = 2 * x.T @ (x @ w[i] - samples.columns["target"][rows]) / 4
                taken[i] += 1
                if config.optimizer == "sgd":
                    m[i] = config.momentum * m[i] + gradient
                    w[i] -= config.lr * m[i]
                    continue
                m[i] = 0.9 * m[i] + 0.1 * gradient
                v[i] = 0.999 * v[i] + 0.001 * gradient**2
                w[i] *= 1 - config.lr * decay
                first, second = m[i] / (1 - 0.9 ** taken[i]), v[i] / (1 - 0.999 ** taken[i])
                w[i] -= config.lr * first / (np.sqrt(second) + 1e-8)
    return w


@pytest.mark.parametrize("config", [ADAM, SGD], ids=["adamw", "sgd"])
@pytest.mark.parametrize("steps", [1, 3])
def test_weights_and_moments_are_mixed_alike(make_line, roads, ring, config, steps):
    outcome = run(make_line, roads, ring(4), config, local_steps=steps)
    expected = by_hand(make_line, outcome, roads, ring(4), config, 6, steps)
    assert outcome.stack.matrix.numpy() == pytest.approx(expected, abs=2e-5)
    alone = run(make_line, roads, ring(4), config, local_steps=steps, moments="local")
    assert np.abs(alone.stack.matrix.numpy() - expected).max() > 1e-3


def test_who_is_away_keeps_its_own(make_line, roads, ring):
    """A silo that has not taken part yet has moments of 0."""
    settings = {"participation": 0.5}
    two_way = 0.5 * (ring(4) + ring(4).T)
    outcome = run(make_line, roads, two_way, ADAM, **settings)
    present = Attendance(list(roads), FederationConfig(**settings), 3).present
    assert not present(0).all()
    expected = by_hand(make_line, outcome, roads, two_way, ADAM, 6, 1, present)
    assert outcome.stack.matrix.numpy() == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize(("config", "kinds"), [
    (ADAM, 2), (SGD, 1), (replace(SGD, momentum=0.0), 0),
], ids=["adamw", "momentum", "plain"])  # fmt: skip
def test_messages_hold_them(make_line, roads, ring, config, kinds):
    outcome = run(make_line, roads, ring(4), config)
    assert outcome.history[-1]["message_bits"] == 6 * 4 * 65 * 32 * (1 + kinds)
    assert outcome.history[-1]["modelled_s"] == pytest.approx(6 * 65 * 32 * (1 + kinds) / 1e6)


def test_with_one_silo_it_is_plain_training(make_line, roads):
    name, samples = next(iter(roads.items()))
    one = torch.eye(1, dtype=torch.float64)
    mixed, local = (
        run(make_line, {name: samples}, one, ADAM, mode=mode, moments=moments).stack.matrix
        for mode, moments in (("dfl", "mixed"), ("cll", "local"))
    )
    assert torch.equal(mixed, local)


@pytest.mark.parametrize("compression", ["fp16", "topk"])
def test_it_is_not_compressed(compression):
    with pytest.raises(UserError, match="moments mixed can't be had with --federation.compression"):
        FederationConfig(moments="mixed", compression=compression)
    with pytest.raises(UserError, match="local or mixed"):
        FederationConfig(moments="both")


def test_statistics_of_gradients_are_mixed_and_kept(make_line, ring):
    """They are views of one matrix, a row a silo; a resume has the same ones."""
    torch.manual_seed(0)
    silos = [SimpleNamespace(renormalised=renormalise(CompactNet(3), MovingNorm)) for _ in range(4)]
    exchange = Exchange(Stack([make_line(2) for _ in range(4)]), Compression())
    bits = exchange.message_bits
    exchange.gradients = GradientStatistics(exchange.stack, silos)
    channels = sum(layer.num_features for layer in silos[0].renormalised)
    assert exchange.message_bits - bits == 32 * 2 * channels
    for silo in silos:
        for layer in silo.renormalised:
            layer.gradients.normal_()
    before = [[layer.gradients.double() for layer in silo.renormalised] for silo in silos]
    kept = {name: tensor.clone() for name, tensor in exchange.state().items()}
    exchange.mix(ring(4))
    for i, silo in enumerate(silos):
        for place, layer in enumerate(silo.renormalised):
            expected = sum(float(ring(4)[i, j]) * before[j][place] for j in range(4))
            assert layer.gradients.numpy() == pytest.approx(expected.numpy(), abs=1e-6)
    exchange.load(kept)
    assert all(
        torch.equal(layer.gradients.double(), old)
        for silo, olds in zip(silos, before, strict=True)
        for layer, old in zip(silo.renormalised, olds, strict=True)
    )


@pytest.mark.parametrize("compression", ["fp16", "topk"])
def test_statistics_of_gradients_are_not_compressed(compression):
    with pytest.raises(UserError, match="batch_norm moving can't be had with --federation.compression"):
        FederationConfig(batch_norm="moving", compression=compression)
