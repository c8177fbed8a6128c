"""The stacked weights: rows are the tasks, and the tasks are the rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kinesics.data.emotions import BASIC
from kinesics.engine.device import place
from kinesics.engine.task import DataSpec
from kinesics.federated.stack import Stack
from kinesics.systems import get_system


def ldlva(n, k=3):
    system = get_system("ldlva").task_class
    task = system.build(system.config_class(k=k), DataSpec(BASIC, 24, 1, 0.5, 0.25, n))
    place(task, torch.device("cpu"))
    return task


def test_rows_are_the_tasks_and_a_step_of_a_task_writes_its_row(make_line):
    tasks = [make_line(4), make_line(6)]
    before = [torch.cat([p.detach().flatten() for p in task.parameters()]) for task in tasks]
    stack = Stack(tasks)
    assert torch.equal(stack.matrix, torch.stack(before))
    torch.optim.SGD(tasks[1].parameters(), 0.1)
    tasks[1].model.weight.data.add_(1.0)
    assert torch.equal(stack.matrix[1, :64], before[1][:64] + 1)
    assert torch.equal(stack.matrix[0], before[0])
    stack.matrix[0] = 3.0
    assert (tasks[0].model.weight == 3).all() and (tasks[0].model.bias == 3).all()


def test_product_and_mean_against_sums_written_out(make_line):
    tasks = [make_line(2) for _ in range(3)]
    stack = Stack(tasks)
    x = stack.matrix.double().numpy()
    a = np.array([[0.5, 0.5, 0], [0, 0.25, 0.75], [1 / 3, 1 / 3, 1 / 3]])
    stack.product(torch.from_numpy(a))
    expected = np.array([sum(a[i, j] * x[j] for j in range(3)) for i in range(3)])
    assert stack.matrix.numpy() == pytest.approx(expected, abs=1e-6)
    theta = stack.mean(torch.tensor([1.0, 0.0, 1.0]))
    assert theta["model.weight"].numpy().ravel() == pytest.approx((expected[0] + expected[2])[:64] / 2, abs=1e-6)
    centred = expected - expected.mean(0)
    assert stack.consensus_distance() == pytest.approx(np.sqrt((centred**2).sum(1).mean()), rel=1e-5)


@pytest.mark.parametrize("links", ["few", "all"])
def test_many_silos_and_many_columns_are_mixed_in_blocks(monkeypatch, make_line, links):
    monkeypatch.setattr("kinesics.federated.stack.BLOCK", 7)
    n = 130
    stack = Stack([make_line(2) for _ in range(n)])
    stack.matrix.normal_(generator=torch.Generator().manual_seed(0))
    x, rng = stack.matrix.double().numpy().copy(), np.random.default_rng(1)
    a = np.eye(n) / 2 + np.roll(np.eye(n), 1, 1) / 2 if links == "few" else rng.dirichlet(np.ones(n), n)
    columns = stack.width - 3
    stack.product(torch.from_numpy(a), columns)
    assert stack.matrix[:, :columns].numpy() == pytest.approx((a @ x)[:, :columns], abs=1e-5)
    assert np.array_equal(stack.matrix[:, columns:].numpy(), x[:, columns:].astype(np.float32))
    values = stack.matrix[:, : stack.n_weights].double()
    assert stack.consensus_distance() == pytest.approx(float((values - values.mean(0)).norm() / n**0.5), rel=1e-9)


def test_a_task_answers_the_same_in_the_stack():
    torch.manual_seed(0)
    task, image = ldlva(10), torch.rand(2, 1, 24, 24)
    task.eval()
    with torch.no_grad():
        before = task.features_and_logits(image)[1]
        stack = Stack([task, ldlva(12)])
        after = task.features_and_logits(image)[1]
    assert torch.allclose(before, after, atol=1e-6)
    weight = next(p for p in task.parameters() if p.ndim == 4 and p.shape[1] > 1)
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert weight.untyped_storage().data_ptr() == stack.matrix.untyped_storage().data_ptr()


def test_nothing_that_belongs_to_the_samples_is_in_the_stack():
    tasks = [ldlva(10), ldlva(14)]
    stack = Stack(tasks)
    storage = stack.matrix.untyped_storage().data_ptr()
    for task in tasks:
        local = task.local_state()
        assert {"uncertainty_logit", "bank_feature", "bank_probability", "neighbour_index"} <= set(local)
        assert not set(local) & set(stack.names)
        assert all(tensor.untyped_storage().data_ptr() != storage for tensor in local.values())
    assert set(stack.names) <= set(tasks[0].shared_state())


def test_running_statistics_come_last():
    stack = Stack([ldlva(10), ldlva(10)])
    named = stack.unpack(torch.arange(stack.width, dtype=torch.float32))
    last_weight = max(int(t.max()) for n, t in named.items() if not n.endswith(("running_mean", "running_var")))
    first_statistic = min(int(t.min()) for n, t in named.items() if n.endswith(("running_mean", "running_var")))
    assert last_weight == stack.n_weights - 1 and first_statistic == stack.n_weights


def test_tasks_that_differ_are_refused(make_line):
    with pytest.raises(ValueError, match="differ"):
        Stack([ldlva(10), make_line(10)])
