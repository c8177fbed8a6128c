"""Preparations that train together: as a federation of its own, in turns, over a kill, and when one fails."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from kinesics.engine.config import FitConfig
from kinesics.engine.fit import step_seed
from kinesics.engine.task import DataSpec, Preparation
from kinesics.errors import UserError
from kinesics.federated.config import FederationConfig
from kinesics.federated.silo import Silo
from kinesics.federated.simulate import Network, simulate

CONFIG = FitConfig(batch_size=4, epochs=3, optimizer="sgd", lr=0.05, precision="fp32", threads=1)


def taught_class(make_line):
    """A line that learns from two lines first: one of the first half of its silo's samples, one of the second."""

    class Taught(type(make_line(2))):
        def prepare(self, data, preparation: Preparation) -> None:
            self.taught, self.drawn = [], []
            for part, rows in enumerate(np.array_split(np.arange(len(data)), 2)):
                self.drawn.append(float(torch.rand(())))
                teacher = make_line(len(rows))
                preparation.fit(f"teacher {part}", teacher, data.subset(rows), replace(preparation.config, epochs=2))
                self.taught.append(torch.cat([p.detach().flatten() for p in teacher.parameters()]).clone())
                self.drawn.append(float(torch.rand(())))

    return Taught


@pytest.fixture
def make_taught(make_line):
    return maker(taught_class(make_line))


def maker(kind):
    return lambda n: kind(kind.config_class(), DataSpec((), 8, 1, 0.5, 0.25, n))


def run(make, data, matrix, folder=None, resume=False, **federation):
    settings = FederationConfig(
        **{"rounds": 2, "evaluate_every": 2, "checkpoint_every": 1, "preparation": "joint", **federation}
    )
    return simulate(
        make, data, Network(matrix, lambda bits, ms: 10.0), settings, CONFIG, seed=3, name="", folder=folder,
        resume=resume, judge=lambda state: {},
    )  # fmt: skip


@pytest.mark.parametrize("federation", [{}, {"ema": 0.9, "weighting": "size", "batches": "size"}], ids=str)
def test_teachers_are_trained_by_a_federation_of_the_same_kind(make_line, make_taught, roads, ring, federation):
    outcome = run(make_taught, roads, ring(4), **federation)
    for part in range(2):
        halves = {name: data.subset(np.array_split(np.arange(len(data)), 2)[part]) for name, data in roads.items()}
        torch.manual_seed(0)
        rng = torch.get_rng_state()
        first = outcome.silos[0]
        torch.manual_seed(step_seed(first.seed, 1))
        for _ in range(part + 1):  # the first silo's teachers give all silos their first weights
            torch.rand(())
            teacher = make_line(6)
            torch.rand(())
        torch.set_rng_state(rng)
        start = {name: tensor.clone() for name, tensor in teacher.shared_state().items()}

        def make(n, start=start):
            line = make_line(n)
            line.load_shared_state(start)
            return line

        images = sum(map(len, halves.values()))  # 30, in batches of 4 or 3.5 on average: 2 passes are 4 rounds
        assert round(2 * images / 16) == 4
        alone = simulate(
            make, halves, Network(ring(4), lambda bits, ms: 10.0),
            FederationConfig(**{"rounds": 4, "evaluate_every": 4, **federation}), CONFIG, seed=step_seed(3, 3, part),
            judge=lambda state: {}, name="",
        )  # fmt: skip
        expected = alone.stack.matrix if alone.running is None else alone.running
        assert torch.equal(torch.stack([silo.task.taught[part] for silo in outcome.silos]), expected)
    last = outcome.history[-1]
    assert last["modelled_s"] == pytest.approx((4 + 4 + 2) * 0.01)  # the teachers' rounds are counted
    assert last["message_bits"] == 10 * 4 * 65 * 32


def test_random_numbers_are_those_of_each_silo(make_taught, roads, ring):
    """What a silo draws doesn't hang on the others: neither on their number nor on the training in between."""
    four = run(make_taught, roads, ring(4)).silos
    names = list(roads)[:2]
    two = run(make_taught, {name: roads[name] for name in names}, ring(2)).silos
    assert [silo.task.drawn for silo in two] == [silo.task.drawn for silo in four[:2]]
    assert len({tuple(silo.task.drawn) for silo in four}) == 4


@pytest.mark.parametrize("killed_in", [5, 22, 37])
def test_a_kill_changes_nothing(make_taught, roads, ring, tmp_path, monkeypatch, killed_in):
    """In the first teacher, in the second, in the rounds: 4 rounds of 4 steps each, then 2."""
    whole = run(make_taught, roads, ring(4), folder=tmp_path / "whole")
    step, calls = Silo.step, iter(range(10**6))

    def killed(self, *arguments):
        if next(calls) == killed_in:
            raise KeyboardInterrupt
        return step(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Silo, "step", killed)
        with pytest.raises(KeyboardInterrupt):
            run(make_taught, roads, ring(4), folder=tmp_path / "killed")
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("preparation")]
    again = run(make_taught, roads, ring(4), folder=tmp_path / "killed", resume=True)
    assert torch.equal(again.stack.matrix, whole.stack.matrix)
    assert again.history[-1]["message_bits"] == whole.history[-1]["message_bits"]
    assert not list((tmp_path / "killed").glob("prepare-*"))


def test_a_preparation_that_fails_ends_all(make_line, roads, ring):
    class Failing(taught_class(make_line)):
        def prepare(self, data, preparation):
            if len(data) == 16:
                raise UserError("city2 has no votes")
            super().prepare(data, preparation)

    with pytest.raises(UserError, match="city2 has no votes"):
        run(maker(Failing), roads, ring(4))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("preparation")]


def test_silos_that_ask_for_different_trainings(make_line, roads, ring):
    class Lazy(taught_class(make_line)):
        def prepare(self, data, preparation):
            if len(data) != 16:
                super().prepare(data, preparation)

    with pytest.raises(UserError, match="different trainings"):
        run(maker(Lazy), roads, ring(4))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("preparation")]


def test_in_one_place_it_is_the_silos_own(make_taught, roads):
    name, samples = next(iter(roads.items()))
    one = torch.eye(1, dtype=torch.float64)
    joint, local = (run(make_taught, {name: samples}, one, mode="cll", preparation=how) for how in ("joint", "local"))
    assert torch.equal(joint.silos[0].task.taught[0], local.silos[0].task.taught[0])
    with pytest.raises(UserError, match="local or joint"):
        FederationConfig(preparation="shared")
