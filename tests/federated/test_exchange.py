"""Mixing: fixed points, push-sum, compressed messages, silos that are away."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kinesics.errors import UserError
from kinesics.federated.attendance import Attendance, among, server_average
from kinesics.federated.config import FederationConfig
from kinesics.federated.exchange import Compression, Exchange
from kinesics.federated.mixing import by_size
from kinesics.federated.stack import Stack


def spread(make_line, n, **how):
    """n tasks with different weights, and the mean that they should agree on."""
    torch.manual_seed(1)
    stack = Stack([make_line(2) for _ in range(n)])
    return stack, Exchange(stack, Compression(**how)), stack.matrix.double().mean(0)


def unbalanced(n):
    """Columns sum to 1, rows don't: everybody sends to the next, silo 0 to everybody."""
    a = torch.zeros(n, n, dtype=torch.float64)
    for j in range(n):
        to = range(n) if j == 0 else (j, (j + 1) % n)
        for i in to:
            a[i, j] = 1 / len(to)
    return a


def test_repeated_mixing_ends_at_the_mean(make_line, ring):
    stack, exchange, mean = spread(make_line, 5)
    for _ in range(200):
        exchange.mix(ring(5))
    assert torch.allclose(stack.matrix.double(), mean.expand(5, -1), atol=1e-5)


def test_push_sum_ends_at_the_mean_where_plain_mixing_would_not(make_line):
    stack, exchange, mean = spread(make_line, 5)
    start, a = stack.matrix.double().clone(), unbalanced(5)
    for _ in range(200):
        exchange.mix(a)
    assert torch.allclose(stack.matrix.double(), mean.expand(5, -1), atol=1e-5)
    naive = torch.linalg.matrix_power(a / a.sum(1, keepdim=True), 200) @ start
    assert not torch.allclose(naive, mean.expand(5, -1), atol=1e-2)


def test_push_sum_step_by_step(make_line):
    stack, exchange, _ = spread(make_line, 3)
    numerator, weight, a = stack.matrix.double().numpy().copy(), np.ones(3), unbalanced(3).numpy()
    for _ in range(4):
        numerator, weight = a @ numerator, a @ weight
        exchange.mix(torch.from_numpy(a))
        assert stack.matrix.numpy() == pytest.approx(numerator / weight[:, None], abs=1e-5)
    assert exchange.push_weight.numpy() == pytest.approx(weight)


def test_half_precision_messages_change_what_neighbours_send_only(make_line, ring):
    stack, exchange, _ = spread(make_line, 4, kind="fp16")
    x = stack.matrix.numpy().copy()
    sent = x.astype(np.float16).astype(np.float32)
    exchange.mix(ring(4))
    assert stack.matrix.numpy() == pytest.approx(0.5 * x + 0.5 * np.roll(sent, 1, 0), abs=1e-7)
    assert exchange.message_bits == 16 * 65


def test_top_k_sends_few_values_and_still_agrees_on_the_mean(make_line, ring):
    stack, exchange, _ = spread(make_line, 4, kind="topk", share=0.2, step=0.3)
    stack.matrix += torch.randn(stack.matrix.shape, generator=torch.Generator().manual_seed(3))
    mean = stack.matrix.double().mean(0)
    before = exchange.public.clone()
    exchange.mix(ring(4))
    assert ((exchange.public != before).sum(1) == 13).all()  # a fifth of 65
    assert exchange.message_bits == 13 * 64
    for _ in range(600):
        exchange.mix(ring(4))
    assert torch.allclose(stack.matrix.double(), mean.expand(4, -1), atol=1e-3)


def test_statistics_stay_at_home_when_they_are_local(make_line, ring):
    stack, _, _ = spread(make_line, 4)
    stack.n_weights = 60  # as if the last five values were statistics
    before = stack.matrix.clone()
    exchange = Exchange(stack, Compression(), statistics=False)
    exchange.mix(ring(4))
    assert torch.equal(stack.matrix[:, 60:], before[:, 60:]) and not torch.equal(stack.matrix, before)
    assert exchange.message_bits == 32 * 60


def test_a_matrix_that_is_neither_is_refused(make_line):
    _, exchange, _ = spread(make_line, 3)
    with pytest.raises(ValueError, match="sum to 1"):
        exchange.mix(torch.full((3, 3), 0.5, dtype=torch.float64))
    _, exchange, _ = spread(make_line, 3, kind="topk")
    with pytest.raises(UserError, match="topk"):
        exchange.mix(unbalanced(3))


@pytest.mark.parametrize("symmetric", [True, False])
def test_silos_that_are_away_keep_their_weights_and_the_rest_keeps_its_mean(make_line, ring, symmetric):
    stack, exchange, _ = spread(make_line, 5)
    a = ring(5)
    a = (a + a.T) / 2 if symmetric else a
    present = np.array([True, True, False, True, True])
    cut = among(a, present)
    assert torch.allclose(cut.sum(0), torch.ones(5, dtype=torch.float64))
    assert torch.allclose(cut.sum(1), torch.ones(5, dtype=torch.float64)) == symmetric
    assert cut[2, 2] == 1 and cut[2].sum() == 1 and cut[:, 2].sum() == 1
    before = stack.matrix.clone()
    complete = torch.full((5, 5), 0.2, dtype=torch.float64)
    for _ in range(3):
        exchange.mix(cut)
    assert torch.equal(stack.matrix[2], before[2])
    for _ in range(300):  # and when everybody is back, all agree on the mean of the start
        exchange.mix(complete if symmetric else ring(5))
    assert torch.allclose(stack.matrix, before.mean(0).expand(5, -1), atol=1e-5)


@pytest.mark.parametrize("two_way", [True, False])
@pytest.mark.parametrize("compression", ["none", "topk"])
def test_silos_counted_by_size_agree_on_that_mean_whoever_was_away(make_line, ring, two_way, compression):
    """In float64, so that only the exchange is judged."""
    sizes, a = np.array([10.0, 40.0, 25.0, 5.0]), ring(4)
    a = torch.from_numpy(by_size(((a + a.T) / 2 if two_way else a).numpy(), sizes))
    stack, _, _ = spread(make_line, 4)
    stack.matrix = stack.matrix.double()
    exchange = Exchange(stack, Compression(compression, 0.5, 0.5), counts=torch.from_numpy(sizes))
    stack.matrix += torch.randn(stack.matrix.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    mean = torch.from_numpy(sizes / sizes.sum()) @ stack.matrix
    absences = [np.array(who) for who in ([True] * 4, [True, False, True, True], [False, True, True, False])]
    for k in range(6000):
        present = absences[k % 3] if k < 30 and (two_way or compression == "none") else absences[0]
        before = stack.matrix.clone() if k < 30 else None
        exchange.mix(among(a, present))
        if before is not None:
            assert torch.equal(stack.matrix[~present], before[~present])
    assert torch.allclose(stack.matrix, mean.expand(4, -1), atol=1e-9)
    weight = exchange.push_weight * sizes.mean()
    assert weight.sum() == pytest.approx(sizes.sum()) and weight.numpy() == pytest.approx(sizes, rel=1e-6)


def test_top_k_says_that_it_cannot_leave_silos_out_one_way(make_line, ring):
    _, exchange, _ = spread(make_line, 4, kind="topk")
    with pytest.raises(UserError, match="one-way overlay"):
        exchange.mix(among(ring(4), np.array([True, False, True, True])))


def test_server_average_counts_those_of_the_round_before():
    a = server_average(np.array([1.0, 2.0, 5.0]), np.array([True, True, False]))
    assert torch.equal(a, torch.tensor([[1 / 3, 2 / 3, 0]] * 3, dtype=torch.float64))


def test_attendance_is_drawn_from_the_seed_and_follows_absences():
    names = [f"s{i}" for i in range(10)]
    drawn = Attendance(names, FederationConfig(participation=0.3), seed=4)
    assert all(drawn.present(k).sum() == 3 for k in range(20))
    assert len({tuple(drawn.present(k)) for k in range(20)}) > 10
    assert (drawn.present(7) == Attendance(names, FederationConfig(participation=0.3), seed=4).present(7)).all()
    away = Attendance(names, FederationConfig(away=["s3:2-5"]), seed=0)
    assert [bool(away.present(k)[3]) for k in range(7)] == [True, True, False, False, False, True, True]


@pytest.mark.parametrize("text", ["s1", "s1:3", "s1:5-5", "s1:a-b", ":1-2", "s1:-1-2"])
def test_absences_of_another_form_are_refused(text):
    with pytest.raises(UserError, match="SILO:FROM-TO"):
        FederationConfig(away=[text])


def test_absences_that_cannot_be():
    with pytest.raises(UserError, match="no silo"):
        Attendance(["a", "b"], FederationConfig(away=["c:1-2"]), 0)
    with pytest.raises(UserError, match="round 4"):
        Attendance(["a", "b"], FederationConfig(away=["a:2-9", "b:4-5"]), 0)
