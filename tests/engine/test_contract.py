"""The contract of `Task`, held by every registered system under every preset: one suite for all of them."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kinesics.data.samples import Samples
from kinesics.engine.checkpoint import list_checkpoints, read_checkpoint
from kinesics.engine.config import FitConfig
from kinesics.engine.fit import epoch_order, fit, predict_all
from kinesics.engine.prediction import Emotion, Steering
from kinesics.engine.run import Run, load_model
from kinesics.engine.task import Preparation, Task
from kinesics.systems import SYSTEMS, get_system

N = 20
CONFIG = FitConfig(epochs=1, batch_size=16, precision="fp32", ema=0.0, threads=1)
"""One step an epoch on 20 samples: 16 are drawn and 4 are not."""


@pytest.fixture
def train(system: str, data_of: Callable[[str], Samples]) -> Samples:
    """What the system learns from."""
    return data_of(system).subset(range(N))


@pytest.fixture(scope="module")
def prepared(data_of: Callable[[str], Samples], task_of: Callable[..., Task]) -> Callable[[str, str], Task]:
    """A task before its first step, its own copy for every caller."""
    made: dict[tuple[str, str], Task] = {}

    def prepare(system: str, preset: str) -> Task:
        if (system, preset) not in made:
            train = data_of(system).subset(range(N))
            task = task_of(system, train, preset)
            task.attach(train)

            def sub_fit(name: str, other: Task, data: Samples, config: FitConfig) -> None:
                fit(other, data, None, config, seed=0, name="")

            task.prepare(train, Preparation(sub_fit, CONFIG, 0, None))
            made[system, preset] = task
        return copy.deepcopy(made[system, preset])

    return prepare


@pytest.fixture(scope="module")
def trained(
    data_of: Callable[[str], Samples], task_of: Callable[..., Task], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Any]:
    """A task after one step, not to be changed, and the tensors it had before that step."""
    made: dict[tuple[str, str], tuple[Task, dict[str, torch.Tensor]]] = {}

    def run(system: str, preset: str) -> tuple[Task, dict[str, torch.Tensor]]:
        if (system, preset) not in made:
            folder = tmp_path_factory.mktemp("trained")
            train = data_of(system).subset(range(N))
            task = task_of(system, train, preset)
            fit(task, train, None, CONFIG, seed=0, folder=folder, name="")
            task.eval()
            made[system, preset] = task, read_checkpoint(list_checkpoints(folder)[0])["task"]
        return made[system, preset]

    return run


def step(task: Task, train: Samples, seed: int = 0) -> dict[str, torch.Tensor]:
    """The losses of one training step on eight samples."""
    task.train()
    task.epoch_start(0)
    batch = task.transform(train.batch(np.arange(8)), torch.Generator().manual_seed(seed))
    torch.manual_seed(seed)
    return task.training_step(batch)


def shares(predictions: Any) -> np.ndarray:
    """(N, C) distributions, or (N, 1) angles."""
    return np.array([[p.angle] if isinstance(p, Steering) else list(p.distribution.values()) for p in predictions])


def test_a_step_gives_scalars_and_gradients(
    system: str, preset: str, prepared: Callable[..., Task], train: Samples
) -> None:
    task = prepared(system, preset)
    losses = step(task, train)
    assert all(value.ndim == 0 and torch.isfinite(value) for value in losses.values())
    assert [name for name, value in losses.items() if value.requires_grad] == ["loss"]
    losses["loss"].backward()
    gradients = {name: p.grad for name, p in task.named_parameters() if p.grad is not None}
    assert all(torch.isfinite(gradient).all() for gradient in gradients.values())
    network = [name for name, _ in task.named_parameters() if name.startswith("model.")]
    assert network and all(gradients[name].abs().sum() > 0 for name in network)


def test_every_parameter_that_learns_has_one_optimiser(
    system: str, preset: str, prepared: Callable[..., Task], train: Samples
) -> None:
    task = prepared(system, preset)
    specs = task.optimizers(CONFIG)
    owned = [id(p) for spec in specs for group in spec.optimizer.param_groups for p in group["params"]]
    assert len(owned) == len(set(owned))
    step(task, train)["loss"].backward()
    ownerless = [name for name, p in task.named_parameters() if p.grad is not None and id(p) not in owned]
    assert ownerless == []
    assert specs[0].scheduled


def test_the_same_step_twice_is_the_same(
    system: str, preset: str, prepared: Callable[..., Task], train: Samples
) -> None:
    first, again, other = (step(prepared(system, preset), train, seed) for seed in (0, 0, 1))
    assert {k: v.item() for k, v in first.items()} == {k: v.item() for k, v in again.items()}
    assert first["loss"].item() != other["loss"].item()  # the augmentation is the generator's


def test_the_same_weights_from_the_same_seed(system: str, task_of: Callable[..., Task], train: Samples) -> None:
    first, again = (task_of(system, train).state_dict() for _ in range(2))
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())


def test_shared_and_local_state_are_disjoint_and_all(system: str, preset: str, trained: Callable[..., Any]) -> None:
    task, _ = trained(system, preset)
    shared, local, whole = task.shared_state(), task.local_state(), task.state_dict()
    assert not shared.keys() & local.keys()
    assert shared.keys() | local.keys() == whole.keys()
    assert all(tensor.data_ptr() == whole[name].data_ptr() for name, tensor in (shared | local).items())
    left_out = shared.keys() - task.shared_state(batch_norm=False).keys()
    assert left_out == {
        name for name in shared if name.endswith(("running_mean", "running_var", "num_batches_tracked"))
    }
    assert any(name.startswith("model.") for name in shared)
    assert bool(left_out) == any(isinstance(module, torch.nn.BatchNorm2d) for module in task.modules())


def test_tables_of_samples_are_local_and_have_a_row_each(
    system: str, preset: str, trained: Callable[..., Any], train: Samples, task_of: Callable[..., Task]
) -> None:
    task, _ = trained(system, preset)
    assert all(tensor.shape[0] in (0, N) for tensor in task.local_state().values())
    other = task_of(system, train.subset(range(13)), preset)
    sizes = {name: tensor.shape for name, tensor in other.shared_state().items()}
    assert sizes == {name: tensor.shape for name, tensor in task.shared_state().items()}
    assert other.local_state().keys() == task.local_state().keys()


def test_only_rows_of_drawn_samples_change(system: str, preset: str, trained: Callable[..., Any]) -> None:
    task, before = trained(system, preset)
    drawn = set(epoch_order(N, 0, 0)[:16].tolist())
    changed: set[int] = set()
    for name, tensor in task.local_state().items():
        different = (tensor != before[name]).flatten(1).any(1) if tensor.ndim > 1 else tensor != before[name]
        changed |= set(torch.nonzero(different).flatten().tolist())
    assert changed == (drawn if task.local_state() else set())


def test_shared_state_goes_from_one_task_to_another(
    system: str, preset: str, trained: Callable[..., Any], train: Samples, task_of: Callable[..., Task]
) -> None:
    task, _ = trained(system, preset)
    other = task_of(system, train, preset)
    local = {name: tensor.clone() for name, tensor in other.local_state().items()}
    other.load_shared_state({name: tensor.clone() for name, tensor in task.shared_state().items()})
    assert all(torch.equal(tensor, task.shared_state()[name]) for name, tensor in other.shared_state().items())
    assert all(torch.equal(tensor, local[name]) for name, tensor in other.local_state().items())
    assert predict_all(other, train, 8) == predict_all(task, train, 8)
    with pytest.raises(ValueError, match="unheard"):
        other.load_shared_state({"unheard": torch.zeros(1)})
    name, tensor = next(iter(other.shared_state().items()))
    wrong = torch.zeros(2 if tensor.shape == (1,) else 1)  # a copy would stretch it
    with pytest.raises(ValueError, match=re.escape(f"{name} is {tuple(wrong.shape)}, expected {tuple(tensor.shape)}")):
        other.load_shared_state({name: wrong})


def test_one_answer_a_sample_that_sums_to_one(
    system: str, preset: str, trained: Callable[..., Any], train: Samples
) -> None:
    task, _ = trained(system, preset)
    answers = predict_all(task, train, 8)
    assert len(answers) == N
    for answer in answers:
        if task.truth == "target":
            assert isinstance(answer, Steering) and math.isfinite(answer.angle)
            continue
        assert isinstance(answer, Emotion) and answer.distribution is not None
        assert tuple(answer.distribution) == train.classes
        assert sum(answer.distribution.values()) == pytest.approx(1, abs=1e-9)
        assert min(answer.distribution.values()) >= 0
        assert answer.label == max(answer.distribution, key=lambda name: answer.distribution[name])
        assert answer.confidence == answer.distribution[answer.label]
        assert 0 <= answer.uncertainty <= 1


def test_answers_do_not_depend_on_labels_or_on_neighbours_in_the_batch(
    system: str, preset: str, trained: Callable[..., Any], train: Samples
) -> None:
    task, _ = trained(system, preset)
    expected = shares(predict_all(task, train, N))
    shuffled = np.random.default_rng(0).permutation(N)
    np.testing.assert_allclose(shares(predict_all(task, train.subset(shuffled), 7)), expected[shuffled], atol=1e-5)
    relabelled = train.with_columns(**{name: np.roll(column, 1, 0) for name, column in train.columns.items()})
    if "distribution" in train.columns:
        relabelled = relabelled.with_columns(distribution=np.full_like(train.columns["distribution"], np.nan))
    assert (shares(predict_all(task, relabelled, N)) == expected).all()
    batch = task.transform(relabelled.batch(np.arange(N)), None)
    with torch.inference_mode():
        assert (shares(task.prediction_step(batch)) == expected).all()
        far = {"index": batch["index"] + 1000, "image": batch["image"]}  # unknown ids: these are not training samples
        assert (shares(task.prediction_step(far)) == expected).all()


def test_predicting_changes_nothing(system: str, preset: str, trained: Callable[..., Any], train: Samples) -> None:
    task, _ = trained(system, preset)
    before = {name: tensor.clone() for name, tensor in task.state_dict().items()}
    predict_all(task, train, 8)
    assert all(torch.equal(tensor, before[name]) for name, tensor in task.state_dict().items())


def test_metrics_and_the_one_that_selects(
    system: str, preset: str, trained: Callable[..., Any], train: Samples
) -> None:
    task, _ = trained(system, preset)
    scores = task.metrics(predict_all(task, train, 8), train)
    name, sign = task.selection_metric
    assert name in scores and sign in (1, -1)
    assert all(isinstance(value, float) for value in scores.values())
    if task.truth == "target":
        angle = shares(predict_all(task, train, 8))[:, 0]
        error = angle - train.columns["target"]
        assert scores["rmse"] == pytest.approx(np.sqrt((error**2).mean())) and {"mae", "pearson", "ccc"} < scores.keys()
        return
    distances = {"kl", "chebyshev", "clark", "canberra", "cosine", "intersection", "ccc_valence", "ccc_arousal"}
    assert {"accuracy", "uar", "war", "ece", "ece_calibrated", "nll"} | distances <= scores.keys()
    answered = np.array([train.classes.index(p.label) for p in predict_all(task, train, 8) if isinstance(p, Emotion)])
    assert scores["accuracy"] == pytest.approx((answered == train.columns["label"]).mean())


def test_calibration_keeps_the_order_and_lowers_the_loss(
    system: str, preset: str, trained: Callable[..., Any], train: Samples
) -> None:
    task = copy.deepcopy(trained(system, preset)[0])
    raw = predict_all(task, train, 8)
    task.calibrate(raw, train)
    if task.truth == "target":
        assert task.calibration == {}  # numbers are not scaled
        return
    assert task.calibration and all(math.isfinite(value) for value in task.calibration.values())
    with torch.inference_mode():
        calibrated = task.prediction_step(task.transform(train.batch(np.arange(N)), None))
    assert [p.label for p in calibrated] == [p.label for p in raw]
    truth = train.columns["label"]
    loss = [-np.log(shares(answers)[np.arange(N), truth]).mean() for answers in (raw, calibrated)]
    assert loss[1] < loss[0]
    assert predict_all(task, train, 8) == raw  # uncalibrated still


def test_scores_of_samples(system: str, preset: str, trained: Callable[..., Any], train: Samples) -> None:
    task, _ = trained(system, preset)
    scores = task.sample_scores(train, predict_all(task, train, 8))
    assert ("error" if task.truth == "target" else "label_doubt") in scores
    for values in scores.values():
        assert len(values) == N and np.isfinite(values).all()
        assert values.ndim == 1 or values.shape == (N, len(train.classes))
        assert values.min() >= 0 and (task.truth == "target" or values.max() <= 1 + 1e-6)


def test_a_model_rebuilt_from_its_run_directory_answers_the_same(
    system: str, preset: str, trained: Callable[..., Any], train: Samples, tmp_path: Path
) -> None:
    task = copy.deepcopy(trained(system, preset)[0])
    task.calibrate(predict_all(task, train, 8), train)
    Run(tmp_path).write_model(task, system, task.shared_state())
    rebuilt, name = load_model(Run.find(tmp_path), lambda asked: get_system(asked).task_class)
    assert name == system and type(rebuilt) is type(task)
    assert rebuilt.spec == replace(task.spec, n_train=0) and rebuilt.calibration == task.calibration
    batch = task.transform(train.batch(np.arange(N)), None)
    with torch.inference_mode():
        assert rebuilt.prediction_step(batch) == task.prediction_step(batch)


WAYS = {
    "micro-batches": {"accumulate": 2},
    "bf16": {"precision": "bf16"},
    "clipped": {"clip_norm": 5.0},
    "sgd": {"optimizer": "sgd", "lr": 0.02},
    "averaged": {"ema": 0.5, "schedule": "step", "milestones": [1]},
}


def gentle(system: str, config: FitConfig) -> FitConfig:
    """A tenth of the rate where squares are minimised: they fall or rise within the first three steps."""
    squares = get_system(system).task_class.truth == "target" or system == "eac"
    return replace(config, lr=config.lr / 10) if squares else config


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_training(
    system: str,
    way: str,
    data_of: Callable[[str], Samples],
    task_of: Callable[..., Task],
    plain: Callable[[str], list[float]],
) -> None:
    """Losses stay near those of plain training; batch normalisation and rounding make the differences."""
    data = data_of(system)
    task = task_of(system, data, augment=False, dropout=0.0)
    config = gentle(system, FitConfig(**{**vars(CONFIG), "epochs": 2, **WAYS[way]}))
    history = fit(task, data, None, config, seed=0, name="").history
    losses = [record["train/loss"] for record in history]
    assert losses[0] == pytest.approx(plain(system)[0], rel=0.2)
    assert all(torch.isfinite(tensor.float()).all() for tensor in task.state_dict().values())


@pytest.fixture(scope="module")
def plain(data_of: Callable[[str], Samples], task_of: Callable[..., Task]) -> Callable[[str], list[float]]:
    """The losses of two epochs without anything special."""
    made: dict[str, list[float]] = {}

    def run(system: str) -> list[float]:
        if system not in made:
            task = task_of(system, data_of(system), augment=False, dropout=0.0)
            history = fit(
                task, data_of(system), None, gentle(system, replace(CONFIG, epochs=2)), seed=0, name=""
            ).history
            made[system] = [record["train/loss"] for record in history]
        return made[system]

    return run


def test_the_registry_names_its_systems_as_they_are() -> None:
    for name, system in SYSTEMS.items():
        assert system.name == name and issubclass(system.task_class, Task)
        assert "default" in system.presets and system.summary
        assert isinstance(system.task_class.config_class(), system.task_class.config_class)
