"""LDLVA's mathematics against the authors' numbers, brute force in float64 and finite differences."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from kinesics.systems.ldlva import losses

GOLDEN_TOLERANCE = {"f64": 1e-12, "f32": 1e-6}


@pytest.fixture(scope="module")
def golden(shared):
    return np.load(shared / "golden" / "ldlva.npz", allow_pickle=False)


def inputs(golden, kind):
    """The stored float32 inputs in the asked precision; integers as they are."""
    dtype = torch.float64 if kind == "f64" else torch.float32
    found = {}
    for name in golden.files:
        if name.startswith("in_"):
            array = golden[name]
            found[name[3:]] = (
                torch.from_numpy(array).long() if array.dtype.kind == "i" else torch.as_tensor(array, dtype=dtype)
            )
    return found


def certainty(g):
    """The released code trains certainty = 1 - lambda, as a logit a sample."""
    return torch.sigmoid(g["lamb_hat"][g["idx"], 0])


def released_target(g, uncertainty):
    one_hot = torch.nn.functional.one_hot(g["y"], 7).to(g["x"].dtype)
    aggregated = losses.aggregate(g["knn_weights"] * g["calib_scores"], g["preds_aux"])
    return losses.target_distribution(one_hot, aggregated, uncertainty)


@pytest.mark.parametrize("kind", ["f64", "f32"])
def test_target_distribution_equals_the_released_one(golden, kind):
    g = inputs(golden, kind)
    for uncertainty, name in ((1 - certainty(g), ""), (torch.full((4,), 0.1, dtype=g["x"].dtype), "_lamb0p9")):
        ours = released_target(g, uncertainty).numpy()
        np.testing.assert_allclose(
            ours, golden[f"{kind}_target_distribution{name}"], rtol=0, atol=GOLDEN_TOLERANCE[kind]
        )


@pytest.mark.parametrize("kind", ["f64", "f32"])
def test_released_classification_loss_and_gradients(golden, kind):
    g = inputs(golden, kind)
    tolerance = GOLDEN_TOLERANCE[kind]
    for name in ("preds", "calib_scores", "preds_aux", "lamb_hat"):
        g[name].requires_grad_()
    loss = losses.classification_loss_release(released_target(g, 1 - certainty(g)), g["preds"])
    assert loss.item() == pytest.approx(float(golden[f"{kind}_CE"]), abs=tolerance)
    gradient = torch.autograd.grad(loss, [g["preds"], g["calib_scores"], g["preds_aux"], g["lamb_hat"]])
    for mine, name in zip(gradient, ("dpreds", "dcalib", "dpreds_aux_if_not_detached", "dlamb_hat"), strict=True):
        np.testing.assert_allclose(mine.numpy(), golden[f"{kind}_dCE_{name}"], rtol=0, atol=10 * tolerance)
    with torch.no_grad():
        weighted = losses.classification_loss_release(
            released_target(g, 1 - certainty(g)), g["preds"], g["sample_weights"]
        )
    assert weighted.item() == pytest.approx(float(golden[f"{kind}_CE_weighted"]), abs=tolerance)


@pytest.mark.parametrize("kind", ["f64", "f32"])
def test_released_centre_loss_and_its_gradient(golden, kind):
    """The release counts the K neighbours as rows of the batch and divides by B (1 + K)."""
    g = inputs(golden, kind)
    x, x_aux = g["x"].requires_grad_(), g["x_aux"].requires_grad_()
    feature = torch.cat([x, x_aux.flatten(0, 1)])
    label = torch.cat([g["y"], g["y_aux"].flatten()])
    rows = torch.cat([g["idx"], g["neighbor_idx"].flatten()])
    uncertainty = 1 - torch.sigmoid(g["lamb_hat"][rows, 0])
    loss = losses.intra_class_loss(feature, g["centers"][label], uncertainty)
    assert loss.item() == pytest.approx(float(golden[f"{kind}_L_D"]), abs=GOLDEN_TOLERANCE[kind])
    dx, dx_aux = torch.autograd.grad(loss, [x, x_aux])
    np.testing.assert_allclose(dx.numpy(), golden[f"{kind}_dLD_dx"], atol=GOLDEN_TOLERANCE[kind])
    np.testing.assert_allclose(
        dx_aux.numpy(), golden[f"{kind}_dLD_dx_aux_if_not_detached"], atol=GOLDEN_TOLERANCE[kind]
    )


@pytest.mark.parametrize("kind", ["f64", "f32"])
def test_released_centre_update(golden, kind):
    g = inputs(golden, kind)
    feature = torch.cat([g["x"], g["x_aux"].flatten(0, 1)])
    label = torch.cat([g["y"], g["y_aux"].flatten()])
    rows = torch.cat([g["idx"], g["neighbor_idx"].flatten()])
    uncertainty = 1 - torch.sigmoid(g["lamb_hat"][rows, 0])
    moved = losses.move_centres_release(g["centers"], feature, label, uncertainty, float(golden["in_centers_alpha"]))
    np.testing.assert_allclose(moved.numpy(), golden[f"{kind}_new_centers"], atol=GOLDEN_TOLERANCE[kind])
    centre = torch.zeros_like(g["centers"])
    for step in (1, 2):
        value = losses.intra_class_loss(feature, centre[label], uncertainty)
        assert value.item() == pytest.approx(float(golden[f"{kind}_zero_init_L_D_{step}"]), abs=GOLDEN_TOLERANCE[kind])
        centre = losses.move_centres_release(centre, feature, label, uncertainty, 0.5)
        np.testing.assert_allclose(
            centre.numpy(), golden[f"{kind}_zero_init_centers_{step}"], atol=GOLDEN_TOLERANCE[kind]
        )


def test_similarities_by_hand():
    a_i, a_k = torch.tensor([0.5, -0.25], dtype=torch.float64), torch.tensor([0.1, 0.35], dtype=torch.float64)
    assert losses.local_similarity(a_i, a_k, 0.3).item() == pytest.approx(math.exp(-(0.4**2 + 0.6**2) / 0.09))
    assert losses.local_similarity_release(a_i, a_k).item() == pytest.approx(math.exp(-1.0 / 0.5))
    assert losses.local_similarity(a_i, a_i, 0.3).item() == 1.0


def test_text_losses_against_loops():
    """L_cls and L_D as the text writes them, sums and all, in plain Python."""
    rng = np.random.default_rng(3)
    b, k, c, v = 5, 4, 3, 6
    feature, centre = rng.normal(size=(b, v)), rng.normal(size=(c, v))
    label, lam = rng.integers(0, c, b), rng.random(b)
    log_f = np.log(rng.dirichlet(np.ones(c), b))
    neighbour, contribution = rng.dirichlet(np.ones(c), (b, k)), rng.random((b, k))
    d = np.zeros((b, c))
    for i in range(b):
        mixed = sum(contribution[i, j] * neighbour[i, j] for j in range(k)) / contribution[i].sum()
        d[i] = (1 - lam[i]) * np.eye(c)[label[i]] + lam[i] * mixed
    cls = -sum(d[i, j] * log_f[i, j] for i in range(b) for j in range(c))
    intra = 0.5 * sum((1 - lam[i]) * np.sum((feature[i] - centre[label[i]]) ** 2) for i in range(b))
    inter = sum(
        math.exp(-np.sum((centre[j] - centre[m]) ** 2) / math.sqrt(v)) for j, m in itertools.permutations(range(c), 2)
    )
    t = torch.from_numpy
    target = losses.target_distribution(
        torch.eye(c, dtype=torch.float64)[t(label)], losses.aggregate(t(contribution), t(neighbour)), t(lam)
    )
    np.testing.assert_allclose(target.numpy(), d, atol=1e-14)
    assert losses.classification_loss(target, t(log_f), "sum").item() == pytest.approx(cls, rel=1e-12)
    assert losses.intra_class_loss(t(feature), t(centre)[t(label)], t(lam), "sum").item() == pytest.approx(intra)
    assert losses.centre_repulsion(t(centre)).item() == pytest.approx(inter, rel=1e-12)


def test_gradients_by_finite_differences():
    torch.manual_seed(0)
    b, k, c, v = 3, 4, 5, 6
    contribution = torch.rand(b, k, dtype=torch.float64, requires_grad=True)
    neighbour = torch.softmax(torch.randn(b, k, c, dtype=torch.float64), -1)
    lam = torch.rand(b, dtype=torch.float64, requires_grad=True)
    centre = torch.randn(c, v, dtype=torch.float64, requires_grad=True)
    feature = torch.randn(b, v, dtype=torch.float64, requires_grad=True)
    label = torch.tensor([0, 3, 3])
    one_hot = torch.eye(c, dtype=torch.float64)[label]
    logits = torch.randn(b, c, dtype=torch.float64, requires_grad=True)

    def total(contribution, lam, centre, feature, logits):
        target = losses.target_distribution(one_hot, losses.aggregate(contribution, neighbour), lam)
        cls = losses.classification_loss(target, torch.log_softmax(logits, 1), "sum")
        return cls + losses.intra_class_loss(feature, centre[label], lam, "sum") + losses.centre_repulsion(centre)

    assert torch.autograd.gradcheck(total, (contribution, lam, centre, feature, logits))


def test_centre_term_only_ever_raises_uncertainty():
    """d L_D / d lambda_i = -1/2 ||v - mu||^2: why lambda is detached there unless the text is read literally."""
    lam = torch.rand(6, requires_grad=True)
    losses.intra_class_loss(torch.randn(6, 4), torch.randn(6, 4), lam, "sum").backward()
    assert (lam.grad < 0).all()


def test_uncertainty_learns_which_label_the_model_disbelieves():
    """Gradient descent on L_cls raises lambda where the model contradicts the label and lowers it where it agrees."""
    logit = torch.zeros(2, requires_grad=True)
    log_f = torch.log(torch.tensor([[0.9, 0.1], [0.1, 0.9]]))
    one_hot = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    aggregated = torch.tensor([[0.6, 0.4], [0.4, 0.6]])
    target = losses.target_distribution(one_hot, aggregated, torch.sigmoid(logit))
    losses.classification_loss(target, log_f).backward()
    assert logit.grad[0] > 0 > logit.grad[1]


def test_no_contribution_counts_neighbours_alike():
    neighbour = torch.tensor([[[0.2, 0.8], [0.6, 0.4]]])
    found = losses.aggregate(torch.zeros(1, 2), neighbour)
    assert torch.allclose(found, torch.tensor([[0.4, 0.6]]))


def test_equal_centres_push_nothing():
    centre = torch.zeros(3, 4, requires_grad=True)
    losses.centre_repulsion(centre).backward()
    assert torch.equal(centre.grad, torch.zeros(3, 4))


def test_factors_of_classes_are_those_of_a_general_solver():
    """Sinkhorn's iteration finds the minimum of sum_i lambda_i log sum_c e^u_c d_ic - b u, which is convex in u."""
    from scipy.optimize import minimize

    rng = np.random.default_rng(3)
    d, uncertainty = rng.dirichlet([4, 2, 1, 0.3], 200), rng.uniform(0.05, 0.9, 200)
    one_hot = np.eye(4)[rng.choice(4, 200, p=[0.3, 0.3, 0.25, 0.15])]
    wanted = uncertainty @ one_hot
    solved = minimize(
        lambda u: uncertainty @ np.log(d @ np.exp(u)) - wanted @ u, np.zeros(4), method="BFGS", options={"gtol": 1e-9}
    )
    factor = losses.class_factors(*map(torch.from_numpy, (d, one_hot, uncertainty))).double()
    assert torch.allclose(factor / factor[0], torch.from_numpy(np.exp(solved.x - solved.x[0])), rtol=1e-4)
    aligned = losses.align(torch.from_numpy(d), factor)
    assert (uncertainty @ aligned.numpy()) == pytest.approx(wanted, rel=1e-4)
    assert torch.allclose(aligned.sum(1), torch.ones(200, dtype=torch.float64))


def test_factors_stay_in_bounds():
    """Classes without labels, that no neighbour speaks for, or both, and neighbours that are sure in half precision."""
    sure = torch.softmax(20 * torch.eye(3)[torch.arange(40) % 2], 1).half()
    assert (sure[:, 2] < 1e-7).all()
    for d in (torch.tensor([[0.5, 0.5, 0.0], [0.2, 0.8, 0.0]] * 20), sure):
        for label in ([0, 2], [0, 0], [2, 2], [0, 1]):
            one_hot = torch.eye(3)[torch.tensor(label * 20)]
            factor = losses.class_factors(d, one_hot, torch.full((40,), 0.5))
            assert torch.isfinite(factor).all() and factor.max() <= 100 and factor.min() >= 0.01
            assert torch.isfinite(losses.align(d.float(), factor)).all()
