"""A new system in one file: a regressor of valence and arousal, trained and judged by kinesics' own engine.

python examples/add_a_system.py --out runs/affect

docs/contract.md shows how the same class becomes a folder that `kinesics train` knows by name.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from kinesics.data.augment import AugmentConfig
from kinesics.data.samples import Samples
from kinesics.data.synthetic.faces import write_faces
from kinesics.engine.config import FitConfig, Recipe
from kinesics.engine.prediction import Emotion, Prediction
from kinesics.engine.session import train_run
from kinesics.engine.task import Batch, DataSpec, Task
from kinesics.metrics.regression import ccc
from kinesics.nn.backbones import make_backbone


@dataclass
class AffectConfig:
    """Settings of the valence-arousal regressor."""

    backbone: str = "compact"
    """compact, resnet18, resnet34 or resnet50."""


class Affect(Task):
    """Valence and arousal in [-1, 1] from a face: tanh of a backbone's two outputs, mean squared error."""

    config_class: ClassVar[type] = AffectConfig

    def __init__(self, config: Any, spec: DataSpec, augment: AugmentConfig | None = None) -> None:
        super().__init__(config, spec, augment)
        self.model = make_backbone(config.backbone, 2, spec.channels, spec.size)

    def training_step(self, batch: Batch) -> dict[str, Tensor]:
        """Mean squared error to the manifest's valence and arousal."""
        return {"loss": (torch.tanh(self.model(batch["image"])) - batch["valence_arousal"]).square().mean()}

    def prediction_step(self, batch: Batch) -> list[Prediction]:
        """One `Emotion` a face that has valence and arousal only."""
        rows = torch.tanh(self.model(batch["image"]).float()).cpu().tolist()
        return [Emotion(valence=valence, arousal=arousal) for valence, arousal in rows]

    def metrics(self, predictions: Sequence[Prediction], targets: Samples) -> dict[str, float]:
        """Concordance of each axis, and their mean `ccc`."""
        found = np.array([(p.valence, p.arousal) for p in predictions])
        scores = [ccc(found[:, axis], targets.columns["valence_arousal"][:, axis]) for axis in (0, 1)]
        return {"ccc_valence": scores[0], "ccc_arousal": scores[1], "ccc": float(np.mean(scores))}

    @property
    def selection_metric(self) -> tuple[str, int]:
        """Highest concordance on validation."""
        return "ccc", 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/affect"))
    parser.add_argument("--n-train", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=8)
    given = parser.parse_args()
    faces = write_faces(given.out / "faces", given.n_train, given.n_train // 5, given.n_train // 5, seed=0)
    fit = FitConfig(epochs=given.epochs)
    run = train_run(Affect, Recipe("affect", str(faces), AffectConfig(), out=str(given.out / "run"), fit=fit))
    print(run.read_json("run.json")["selected"]["test"])
