"""What the engine's tests share: a task that is no classifier, drawn faces in memory, and settings for any system."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kinesics.data.augment import AugmentConfig
from kinesics.data.samples import Samples
from kinesics.data.synthetic.faces import draw_faces
from kinesics.engine.config import FitConfig
from kinesics.engine.optimizers import OptimizerSpec, build_optimizer
from kinesics.engine.prediction import Prediction
from kinesics.engine.task import Batch, DataSpec, Task
from kinesics.systems import SYSTEMS, get_system
from kinesics.systems.recipe import make_recipe

torch.set_num_threads(1)

SIZE = 32
VARIANTS = [(name, preset) for name, system in SYSTEMS.items() for preset in system.presets]
"""Every registered system under every preset of its own."""


@dataclass
class SteeringConfig:
    """Settings of the steering task."""

    dropout: float = 0.0
    own_rate: float = 0.0


@dataclass(frozen=True)
class Angle(Prediction):
    """A steering angle."""

    angle: float = 0.0


class Steering(Task):
    """Regression of one number from a picture: no classes, no labels, no batch normalisation; a bias per sample
    with an optimiser of its own where `own_rate` is above 0."""

    config_class: ClassVar[type] = SteeringConfig
    local_prefixes: ClassVar[tuple[str, ...]] = ("own",)

    def __init__(self, config: SteeringConfig, spec: DataSpec, augment: AugmentConfig | None = None) -> None:
        super().__init__(config, spec, augment)
        pixels = spec.channels * spec.size**2
        self.model = nn.Sequential(
            nn.Flatten(), nn.Linear(pixels, 8), nn.Tanh(), nn.Dropout(config.dropout), nn.Linear(8, 1)
        )
        self.own = nn.Parameter(torch.zeros(spec.n_train))
        self.register_buffer("drift", torch.zeros(4))

    def optimizers(self, config: FitConfig) -> list[OptimizerSpec]:
        shared = [p for name, p in self.named_parameters() if name != "own"]
        specs = [OptimizerSpec(build_optimizer(shared, config))]
        if self.config.own_rate:
            own = torch.optim.SGD([self.own], lr=self.config.own_rate)
            specs.append(OptimizerSpec(own, scheduled=False, from_epoch=1))
        return specs

    def epoch_start(self, epoch: int) -> None:
        self.drift.copy_(torch.rand(4))

    def training_step(self, batch: Batch) -> dict[str, Tensor]:
        answer = self.model(batch["image"]).squeeze(1) + self.drift.sum() / 100
        if self.config.own_rate:
            answer = answer + self.own[batch["index"]]
        loss = (answer - batch["target"]).square().mean()
        return {"loss": loss, "size": answer.detach().abs().mean()}

    def prediction_step(self, batch: Batch) -> Sequence[Prediction]:
        return [Angle(angle=float(a)) for a in self.model(batch["image"]).squeeze(1)]

    def metrics(self, predictions: Sequence[Prediction], targets: Samples) -> dict[str, float]:
        error = np.array([p.angle for p in predictions if isinstance(p, Angle)]) - targets.columns["target"]
        return {"rmse": np.sqrt(np.mean(error**2))}  # a NumPy scalar, as tasks will return them

    @property
    def selection_metric(self) -> tuple[str, int]:
        return "rmse", -1


def make_faces(n: int, seed: int = 0) -> Samples:
    """Drawn faces with labels, mixtures, ten votes each and valence-arousal."""
    drawn = draw_faces(n, seed, size=SIZE, faces_per_person=2)
    columns = {
        "label": drawn.label,
        "distribution": drawn.distribution,
        "votes": drawn.votes(10, np.random.default_rng(seed)).astype(np.float32),
        "valence_arousal": drawn.valence_arousal,
    }
    names = np.array([f"face-{i:03d}.png" for i in range(n)], dtype=object)
    return Samples(drawn.images, np.arange(n), columns, names, drawn.classes, {"group": drawn.group})


def make_roads(n: int, seed: int = 0) -> Samples:
    """Random pictures whose target is the difference of their halves' brightness."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (n, 8, 8, 1), dtype=np.uint8)
    target = (images[:, :, :4].mean((1, 2, 3)) - images[:, :, 4:].mean((1, 2, 3))) / 50
    names = np.array([f"road-{i:03d}.png" for i in range(n)], dtype=object)
    return Samples(images, np.arange(n), {"target": target.astype(np.float32)}, names, ())


def make_views(n: int, seed: int = 0) -> Samples:
    """Grey pictures with a bright post on noise; the target, in [-1, 1], says how far right of the middle it stands."""
    rng = np.random.default_rng(seed)
    target = rng.uniform(-1, 1, n).astype(np.float32)
    images = rng.integers(0, 60, (n, SIZE, SIZE, 1), dtype=np.uint8)
    for image, side in zip(images, target, strict=True):
        middle = round((SIZE - 1) / 2 * (1 + 0.8 * float(side)))
        image[8:, max(middle - 2, 0) : middle + 3] = 230
    names = np.array([f"view-{i:03d}.png" for i in range(n)], dtype=object)
    return Samples(images, np.arange(n), {"target": target}, names, (), {"silo": names})


def make_data(system: str, n: int, seed: int = 0) -> Samples:
    """What a registered system learns from: faces or views."""
    return make_views(n, seed) if get_system(system).task_class.truth == "target" else make_faces(n, seed)


def make_task(system: str, train: Samples, preset: str = "default", augment: bool = True, **changes: Any) -> Task:
    """A registered system under a preset, on the smallest backbone; the same weights every time."""
    known = {item.name for item in fields(get_system(system).task_class.config_class)}
    settings = {"data": "-", "preset": preset, **({"task.backbone": "compact"} if "backbone" in known else {})}
    config = make_recipe(system, settings).task
    config = replace(config, **{name: value for name, value in changes.items() if name in known})
    random_changes = AugmentConfig(flip=0.5, rotate=8.0, shift=0.05, contrast=0.2, erase=0.3)
    torch.manual_seed(1)
    spec = DataSpec(train.classes, SIZE, 1, 0.5, 0.25, len(train))
    return get_system(system).task_class.build(config, spec, random_changes if augment else None)


def make_steering(train: Samples, dropout: float = 0.0, own_rate: float = 0.0) -> Steering:
    """The steering task; the same weights every time."""
    torch.manual_seed(1)
    return Steering(SteeringConfig(dropout, own_rate), DataSpec((), 8, 1, 0.5, 0.25, len(train)))


@pytest.fixture(scope="session")
def faces() -> Samples:
    """48 drawn faces."""
    return make_faces(48)


@pytest.fixture(scope="session")
def data_of(faces: Samples) -> Callable[[str], Samples]:
    """48 samples for a registered system, not to be changed."""
    views = make_views(48)
    return lambda system: views if get_system(system).task_class.truth == "target" else faces


@pytest.fixture(scope="session")
def roads() -> Samples:
    """48 roads."""
    return make_roads(48)


@pytest.fixture(scope="session")
def task_of() -> Callable[..., Task]:
    """`make_task`."""
    return make_task


@pytest.fixture(scope="session")
def steering_of() -> Callable[..., Steering]:
    """`make_steering`."""
    return make_steering


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests that ask for `system` run for every registered system; with `preset`, under every preset too."""
    if {"system", "preset"} <= set(metafunc.fixturenames):
        metafunc.parametrize(("system", "preset"), VARIANTS, ids=["-".join(pair) for pair in VARIANTS])
    elif "system" in metafunc.fixturenames:
        metafunc.parametrize("system", list(SYSTEMS))
