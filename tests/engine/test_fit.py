"""The training loop: exact resume, what it refuses, gradients over micro-batches, clipping, and what it keeps."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kinesics.data.samples import Samples
from kinesics.engine import fit as loop
from kinesics.engine.checkpoint import list_checkpoints, read_checkpoint
from kinesics.engine.config import FitConfig
from kinesics.engine.fit import FitResult, epoch_order, fit, predict_all, step_seed
from kinesics.engine.task import Task
from kinesics.errors import UserError

SHORT = FitConfig(epochs=2, batch_size=8, ema=0.9, checkpoint_every=4, precision="fp32", threads=1)
"""Three steps an epoch on 24 samples: a checkpoint at the start, one inside the second epoch, two at the ends."""


class Killed(Exception):
    """Stands for a kill."""


def kill_at(owner: Any, name: str, call: int) -> None:
    """Make the `call`-th call (from 0) of a method end as if the process had been killed there."""
    original, calls = getattr(owner, name), iter(range(10**6))

    def counted(*arguments: Any, **named: Any) -> Any:
        if next(calls) == call:
            raise Killed
        return original(*arguments, **named)

    setattr(owner, name, counted)


def differences(a: Any, b: Any, place: str = "") -> list[str]:
    """Where two nests of containers, tensors and numbers differ in any bit."""
    if isinstance(a, torch.Tensor):
        same = isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
        return [] if same else [place]
    if isinstance(a, dict):
        if not isinstance(b, dict) or a.keys() != b.keys():
            return [f"{place}: keys"]
        return [found for key in a for found in differences(a[key], b[key], f"{place}.{key}")]
    if isinstance(a, list | tuple):
        if len(a) != len(b):
            return [f"{place}: length"]
        return [found for i, pair in enumerate(zip(a, b, strict=True)) for found in differences(*pair, f"{place}[{i}]")]
    return [] if a == b or (a != a and b != b) else [f"{place}: {a!r} != {b!r}"]


def outcome(task: Task, result: FitResult, folder: Path | None = None) -> dict[str, Any]:
    """Everything that a training leaves: weights, local state, history, and with a folder the resume state."""
    found: dict[str, Any] = {"task": task.state_dict(), "result": {**vars(result), "compute_share": None}}
    if folder is not None:
        found["checkpoint"] = read_checkpoint(list_checkpoints(folder)[-1])
    return found


@pytest.fixture(scope="module")
def uninterrupted(
    tmp_path_factory: pytest.TempPathFactory, data_of: Callable[[str], Samples], task_of: Callable[..., Task]
) -> Callable[..., dict[str, Any]]:
    """The outcome of a training that nothing stops, made once for each choice of system and settings."""
    made: dict[Any, dict[str, Any]] = {}

    def run(system: str, preset: str, **changes: Any) -> dict[str, Any]:
        key = (system, preset, *changes.items())
        if key not in made:
            folder, data = tmp_path_factory.mktemp("whole"), data_of(system)
            train = data.subset(range(24))
            valid, task = data.subset(range(24, 40)), task_of(system, train, preset, **changes)
            made[key] = outcome(task, fit(task, train, valid, SHORT, seed=3, folder=folder, name=""), folder)
        return made[key]

    return run


def interrupted(
    make: Callable[[], Task], owner: str, call: int, train: Samples, valid: Samples, config: FitConfig, folder: Path
) -> dict[str, Any]:
    """The outcome of a training that is killed at one call of one method of the task, and resumed."""
    task = make()
    kill_at(task, owner, call)
    with pytest.raises(Killed):
        fit(task, train, valid, config, seed=3, folder=folder, name="")
    resumed = make()
    return outcome(resumed, fit(resumed, train, valid, config, seed=3, folder=folder, resume=True, name=""), folder)


def test_a_resumed_training_equals_an_uninterrupted_one(
    system: str,
    preset: str,
    tmp_path: Path,
    data_of: Callable[[str], Samples],
    task_of: Callable[..., Task],
    uninterrupted: Callable[..., dict[str, Any]],
) -> None:
    data = data_of(system)
    train, valid = data.subset(range(24)), data.subset(range(24, 40))
    found = interrupted(lambda: task_of(system, train, preset), "training_step", 5, train, valid, SHORT, tmp_path / "a")
    assert differences(found, uninterrupted(system, preset)) == []


@pytest.mark.parametrize(("owner", "call"), [("training_step", 0), ("after_step", 3), ("prediction_step", 1)])
def test_wherever_it_was_killed(
    system: str,
    owner: str,
    call: int,
    tmp_path: Path,
    data_of: Callable[[str], Samples],
    task_of: Callable[..., Task],
    uninterrupted: Callable[..., dict[str, Any]],
) -> None:
    data = data_of(system)
    train, valid = data.subset(range(24)), data.subset(range(24, 40))
    found = interrupted(lambda: task_of(system, train), owner, call, train, valid, SHORT, tmp_path / "a")
    assert differences(found, uninterrupted(system, "default")) == []


@pytest.mark.parametrize("killed_in", [1, 2, 4])
def test_a_training_killed_during_its_preparation_resumes_exactly(
    killed_in: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    faces: Samples,
    task_of: Callable[..., Task],
    uninterrupted: Callable[..., dict[str, Any]],
) -> None:
    """LDLVA trains two teachers of three steps first: killed in the first, between them and in the second."""
    train, valid = faces.subset(range(24)), faces.subset(range(24, 40))
    changes = {"source": "teacher", "teacher_epochs": 3}

    with monkeypatch.context() as patch:
        original, calls = loop.train_step, iter(range(100))

        def step(*arguments: Any) -> float:
            if next(calls) == killed_in:
                raise Killed
            return original(*arguments)

        patch.setattr(loop, "train_step", step)
        with pytest.raises(Killed):
            task = task_of("ldlva", train, **changes)
            fit(task, train, valid, SHORT, seed=3, folder=tmp_path / "a", name="")
    resumed = task_of("ldlva", train, **changes)
    result = fit(resumed, train, valid, SHORT, seed=3, folder=tmp_path / "a", resume=True, name="")
    found = outcome(resumed, result, tmp_path / "a")
    assert differences(found, uninterrupted("ldlva", "default", **changes)) == []
    assert resumed.notes["valence_arousal"] == "teacher"


@pytest.mark.parametrize("killed_at", [3, 4, 5])
def test_samples_placed_anew_each_epoch_are_not_placed_twice_by_a_resume(
    killed_at: int,
    tmp_path: Path,
    faces: Samples,
    task_of: Callable[..., Task],
    uninterrupted: Callable[..., dict[str, Any]],
) -> None:
    """LDLVA searches neighbours in the bank at the start of an epoch; inside it the bank is another already."""
    train, valid = faces.subset(range(24)), faces.subset(range(24, 40))
    changes = {"source": "teacher", "teacher_epochs": 1, "bank_hold": 0, "relocate": True}
    make = partial(task_of, "ldlva", train, **changes)
    found = interrupted(make, "training_step", killed_at, train, valid, SHORT, tmp_path / "a")
    assert differences(found, uninterrupted("ldlva", "default", **changes)) == []
    fixed = uninterrupted("ldlva", "default", **{**changes, "relocate": False})
    assert not torch.equal(found["task"]["neighbour_index"], fixed["task"]["neighbour_index"])


@pytest.mark.parametrize("own_rate", [0.0, 0.5], ids=["one optimiser", "two optimisers"])
@pytest.mark.parametrize("killed_at", [0, 3, 5, 8])
def test_a_task_that_is_no_classifier_and_draws_at_random_resumes_exactly(
    killed_at: int, own_rate: float, tmp_path: Path, roads: Samples, steering_of: Callable[..., Task]
) -> None:
    """Dropout in each step, random numbers at the start of each epoch, and a bias per sample."""
    train, valid = roads.subset(range(32)), roads.subset(range(32, 48))
    config = replace(SHORT, epochs=3, batch_size=10, checkpoint_every=2)
    task = steering_of(train, dropout=0.5, own_rate=own_rate)
    whole = outcome(task, fit(task, train, valid, config, seed=3, folder=tmp_path / "b", name=""), tmp_path / "b")
    found = interrupted(
        lambda: steering_of(train, dropout=0.5, own_rate=own_rate),
        "training_step", killed_at, train, valid, config, tmp_path / "a",
    )  # fmt: skip
    assert differences(found, whole) == []


def test_files_or_no_files_make_no_difference(tmp_path: Path, roads: Samples, steering_of: Callable[..., Task]) -> None:
    found = []
    for folder in (None, tmp_path):
        task = steering_of(roads, dropout=0.3, own_rate=0.1)
        found.append(outcome(task, fit(task, roads, None, SHORT, seed=1, folder=folder, name="")))
    assert differences(*found) == []


def test_another_seed_is_another_training(roads: Samples, steering_of: Callable[..., Task]) -> None:
    found = []
    for seed in (1, 2):
        task = steering_of(roads)
        fit(task, roads, None, SHORT, seed=seed, name="")
        found.append(task.state_dict())
    assert "model.1.weight" in " ".join(differences(*found))


def test_a_training_does_not_start_over_the_checkpoints_of_another(
    tmp_path: Path, roads: Samples, steering_of: Callable[..., Task]
) -> None:
    fit(steering_of(roads), roads, None, SHORT, seed=1, folder=tmp_path, name="")
    before = [path.read_bytes() for path in list_checkpoints(tmp_path)]
    with pytest.raises(UserError, match="checkpoint"):
        fit(steering_of(roads), roads, None, SHORT, seed=2, folder=tmp_path, name="")
    assert [path.read_bytes() for path in list_checkpoints(tmp_path)] == before


def test_a_checkpoint_of_another_recipe_is_refused(
    tmp_path: Path, roads: Samples, steering_of: Callable[..., Task]
) -> None:
    fit(steering_of(roads.subset(range(20))), roads.subset(range(20)), None, SHORT, seed=1, folder=tmp_path, name="")
    with pytest.raises(UserError, match="does not fit this recipe"):
        fit(steering_of(roads), roads, None, SHORT, seed=1, folder=tmp_path, resume=True, name="")


def test_a_checkpoint_with_other_optimisers_is_refused(
    tmp_path: Path, roads: Samples, steering_of: Callable[..., Task]
) -> None:
    fit(steering_of(roads), roads, None, SHORT, seed=1, folder=tmp_path, name="")
    with pytest.raises(UserError, match="does not fit this recipe"):
        fit(steering_of(roads, own_rate=1.0), roads, None, SHORT, seed=1, folder=tmp_path, resume=True, name="")


def test_a_loss_that_is_not_finite_stops_with_the_names_of_the_batch(
    tmp_path: Path, roads: Samples, steering_of: Callable[..., Task]
) -> None:
    target = roads.columns["target"].copy()
    order = epoch_order(48, 5, 0)
    target[order[13]] = np.nan  # in the second batch of the first epoch
    train = roads.with_columns(target=target)
    with pytest.raises(UserError) as caught:
        fit(steering_of(train), train, None, SHORT, seed=5, folder=tmp_path, name="")
    named = sorted(line.strip() for line in caught.value.message.splitlines()[1:])
    assert named == sorted(str(name) for name in train.names[order[8:16]])
    assert "nan" in caught.value.message and "epoch 1" in caught.value.message
    saved = read_checkpoint(list_checkpoints(tmp_path)[-1])
    assert all(torch.isfinite(tensor).all() for tensor in saved["task"].values())


def test_every_system_stops_when_its_loss_is_not_finite(
    system: str, data_of: Callable[[str], Samples], task_of: Callable[..., Task]
) -> None:
    train = data_of(system).subset(range(16))
    task = task_of(system, train)
    if task.truth == "target":
        train = train.with_columns(target=np.full(16, np.nan, dtype=np.float32))
    else:
        with torch.no_grad():
            task.get_submodule("model.fc").weight.fill_(math.inf)
    with pytest.raises(UserError, match=r"the loss became nan in epoch 1.*\n  (face|view)-0"):
        fit(task, train, None, SHORT, seed=0, name="")


def test_too_few_samples(roads: Samples, steering_of: Callable[..., Task]) -> None:
    with pytest.raises(UserError, match="at least 2"):
        fit(steering_of(roads.subset([0])), roads.subset([0]), None, SHORT, seed=0, name="")


@pytest.mark.parametrize("accumulate", [2, 4])
def test_micro_batches_give_the_gradient_of_the_whole_batch(
    accumulate: int, roads: Samples, steering_of: Callable[..., Task]
) -> None:
    found = []
    for parts in (1, accumulate):
        config = FitConfig(epochs=3, batch_size=16, accumulate=parts, optimizer="sgd", lr=0.05, precision="fp32")
        task = steering_of(roads, own_rate=0.3)
        result = fit(task, roads, None, config, seed=2, name="")
        found.append((task.state_dict(), [record["train/loss"] for record in result.history]))
    whole, parts = found
    for name, tensor in whole[0].items():
        torch.testing.assert_close(parts[0][name], tensor, rtol=1e-5, atol=1e-6, msg=name)
    np.testing.assert_allclose(parts[1], whole[1], rtol=1e-5)
    assert whole[1][-1] < 0.8 * whole[1][0]


def test_micro_batches_of_fewer_samples_than_a_batch_weigh_alike(
    roads: Samples, steering_of: Callable[..., Task]
) -> None:
    """Seven samples in four micro-batches: an uneven split would give some samples more weight than others."""
    train = roads.subset(range(7))
    drawn: list[int] = []
    task = steering_of(train)
    original = task.training_step

    def counting(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        drawn.append(len(batch["index"]))
        return original(batch)

    task.training_step = counting  # type: ignore[method-assign]
    fit(task, train, None, FitConfig(epochs=1, batch_size=16, accumulate=2), seed=0, name="")
    assert len(set(drawn)) == 1


@pytest.mark.parametrize("clip_norm", [0.01, 0.5])
def test_clipping_bounds_the_step_of_plain_sgd(
    clip_norm: float, roads: Samples, steering_of: Callable[..., Task]
) -> None:
    """Without momentum the weights move by rate x gradient, whose norm after clipping is the given one."""
    moved = {}
    for limit in (0.0, clip_norm):
        config = FitConfig(
            epochs=1, batch_size=48, optimizer="sgd", momentum=0.0, weight_decay=0.0, lr=0.1, schedule="constant",
            clip_norm=limit, ema=0.0,
        )  # fmt: skip
        train = roads.with_columns(target=roads.columns["target"] * 100)
        task = steering_of(train)
        before = {name: tensor.clone() for name, tensor in task.named_parameters()}
        fit(task, train, None, config, seed=0, name="")
        change = [(tensor - before[name]).detach().square().sum() for name, tensor in task.named_parameters()]
        moved[limit] = float(torch.stack(change).sum().sqrt())
    assert moved[0.0] > 0.1
    assert moved[clip_norm] == pytest.approx(0.1 * clip_norm, rel=1e-3)


def test_the_rate_of_each_optimiser(roads: Samples, steering_of: Callable[..., Task]) -> None:
    """The schedule turns the first optimiser's rate; the second's stays, and begins in the second epoch."""
    task = steering_of(roads, own_rate=0.25)
    config = FitConfig(epochs=3, batch_size=16, schedule="cosine", lr=0.02)
    specs = task.optimizers(config)
    task.optimizers = lambda config: specs  # type: ignore[method-assign]
    seen: list[tuple[float, float, bool]] = []

    def after_step(batch: dict[str, torch.Tensor]) -> None:
        rates = [spec.optimizer.param_groups[0]["lr"] for spec in specs]
        seen.append((rates[0], rates[1], bool(task.own.detach().abs().sum() > 0)))

    task.after_step = after_step  # type: ignore[method-assign]
    history = fit(task, roads, None, config, seed=0, name="").history
    expected = [0.02 * (1 + math.cos(math.pi * step / 9)) / 2 for step in range(9)]
    assert [rate for rate, _, _ in seen] == pytest.approx(expected)
    assert {rate for _, rate, _ in seen} == {0.25}
    assert [moved for *_, moved in seen] == [False] * 3 + [True] * 6
    assert [record["lr"] for record in history] == pytest.approx(expected[2::3])


def test_the_best_epoch_is_selected_and_the_last_one_kept_too(roads: Samples, steering_of: Callable[..., Task]) -> None:
    """The task reports errors that are smallest in the second of four epochs."""
    train = roads.subset(range(32))
    task = steering_of(train)
    errors, states = iter([3.0, 1.0, 2.0, 1.0]), []
    task.metrics = lambda predictions, targets: {"rmse": next(errors)}  # type: ignore[method-assign]
    config = FitConfig(epochs=4, batch_size=8, ema=0.0)
    original = task.epoch_start

    def epoch_start(epoch: int) -> None:
        states.append({name: tensor.clone() for name, tensor in task.shared_state().items() if name != "drift"})
        original(epoch)

    task.epoch_start = epoch_start  # type: ignore[method-assign]
    result = fit(task, train, roads.subset(range(32, 48)), config, seed=0, name="")
    assert result.selected_epoch == 1  # the first of equals
    assert [record["valid/rmse"] for record in result.history] == [3.0, 1.0, 2.0, 1.0]
    kept = {name: tensor for name, tensor in result.selected.items() if name != "drift"}
    assert differences(kept, states[2]) == []  # what the third epoch began with
    assert differences(result.last, task.shared_state()) == []
    assert differences(result.last, result.selected) != []


def test_without_validation_the_last_epoch_is_selected(roads: Samples, steering_of: Callable[..., Task]) -> None:
    result = fit(steering_of(roads), roads, None, SHORT, seed=0, name="")
    assert result.selected_epoch == 1
    assert differences(result.selected, result.last) == []


def test_history_holds_the_mean_of_the_steps_losses(roads: Samples, steering_of: Callable[..., Task]) -> None:
    task = steering_of(roads)
    original, losses = task.training_step, []

    def keeping(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        found = original(batch)
        losses.append(float(found["loss"].detach()))
        return found

    task.training_step = keeping  # type: ignore[method-assign]
    history = fit(task, roads, None, SHORT, seed=0, name="").history
    assert [record["epoch"] for record in history] == [1, 2]
    assert [record["train/loss"] for record in history] == pytest.approx([np.mean(losses[:6]), np.mean(losses[6:])])


def test_every_system_can_learn_eight_pictures_by_heart(
    system: str, data_of: Callable[[str], Samples], task_of: Callable[..., Task]
) -> None:
    train = data_of(system).subset(range(8))
    task = task_of(system, train, augment=False, k=3, gamma=0.0, dropout=0.0)
    if all(p.ndim < 2 for p in task.parameters()):
        pytest.skip("answers without looking")
    number = task.truth == "target"
    config = FitConfig(
        epochs=120 if number else 40, batch_size=8, lr=0.003, ema=0.0, weight_decay=0.0, schedule="constant"
    )
    history = fit(task, train, None, config, seed=0, name="").history
    scores = task.metrics(predict_all(task, train, 8), train)
    if number:
        assert scores["rmse"] < 0.1 < train.columns["target"].std()
        return
    assert scores["accuracy"] == 1.0
    shares = train.columns["distribution"].clip(1e-9)
    entropy = -(shares * np.log(shares)).sum(1).mean()
    least = {"rul": np.log(2), "ldl_votes": entropy}.get(system, 0.0)  # of two labels a mixture, of vote shares
    assert history[-1]["train/loss"] < least + 0.05 < 1.0 < history[0]["train/loss"]


def test_seeds_differ_and_every_epoch_has_its_own_order() -> None:
    seeds = {step_seed(seed, kind, epoch) for seed in range(3) for kind in range(3) for epoch in range(20)}
    assert len(seeds) == 180 and all(0 <= seed < 2**63 for seed in seeds)
    first, second = epoch_order(100, 7, 0), epoch_order(100, 7, 1)
    assert sorted(first) == sorted(second) == list(range(100))
    assert (first != second).any() and (first == epoch_order(100, 7, 0)).all()


def test_labels_are_hidden_when_predicting(faces: Samples, task_of: Callable[..., Task]) -> None:
    seen: set[str] = set()
    task = task_of("cross_entropy", faces)
    original = task.prediction_step

    def looking(batch: dict[str, torch.Tensor]) -> Any:
        seen.update(batch)
        return original(batch)

    task.prediction_step = looking  # type: ignore[method-assign]
    task.calibration = {"temperature": 3.0}
    raw = predict_all(task, faces, 16)
    assert seen == {"index", "image"}
    assert task.calibration == {"temperature": 3.0}
    task.calibration = {}
    assert raw == predict_all(task, faces, 16)
