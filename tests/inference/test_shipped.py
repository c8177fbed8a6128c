"""The model that ships in the package: it loads, answers, and is as good as its notice says."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import kinesics
from kinesics.data.emotions import ORDERS
from kinesics.data.manifest import Manifest
from kinesics.engine.transfer import shipped_models
from kinesics.errors import UserError
from kinesics.metrics.classification import accuracy


def test_every_shipped_model_answers():
    assert "ferplus-compact" in shipped_models()
    for name in shipped_models():
        predictor = kinesics.load(name)
        answer = predictor(np.full((60, 50), 128, np.uint8))[0]
        assert tuple(answer.distribution) == predictor.classes
        assert sum(answer.distribution.values()) == pytest.approx(1.0)


def test_it_is_a_start_for_training(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(12):
        Image.fromarray(rng.integers(0, 256, (48, 48), dtype=np.uint8)).save(tmp_path / f"{i}.png")
    columns = {"path": [f"{i}.png" for i in range(12)], "label": [("fear", "anger")[i % 2] for i in range(12)]}
    manifest = Manifest.from_columns(columns, tmp_path / "m.csv").write(tmp_path / "m.csv")
    run = kinesics.train(
        "cross_entropy",
        manifest,
        out=str(tmp_path / "run"),
        weights="ferplus-compact",
        fit__epochs=1,
        fit__batch_size=4,
    )
    predictor = kinesics.load(run.folder)
    assert predictor.classes == ("fear", "anger")
    assert predictor.task.config.backbone == kinesics.load("ferplus-compact").task.config.backbone
    again = kinesics.train(
        "scn", manifest, out=str(tmp_path / "again"), weights=str(run.folder), fit__epochs=1, fit__batch_size=4
    )
    assert kinesics.load(again.folder).task.config.backbone == predictor.task.config.backbone
    with pytest.raises(UserError, match="is of backbone .*, but --task.backbone is resnet18"):
        kinesics.train(
            "cross_entropy", manifest, out=str(tmp_path / "no"), weights=str(run.folder), task__backbone="resnet18"
        )


def test_accuracy_on_unseen_real_faces(shared):
    """500 PrivateTest faces of the small FER+ subset against their majority; chance is 37 % (always neutral)."""
    data = np.load(shared / "data" / "ferplus_small" / "ferplus_small.npz", allow_pickle=False)
    model = kinesics.load("ferplus-compact")
    test = np.flatnonzero(data["usage"] == 2)
    votes = data["votes"][test]
    test, votes = test[votes.argmax(1) < 8][:500], votes[votes.argmax(1) < 8][:500]
    label = votes.argmax(1)  # of FER+'s order, which is the model's
    assert model.classes == tuple(ORDERS["ferplus"].values())
    answers = model(list(data["images"][test]))
    probability = np.array([list(answer.distribution.values()) for answer in answers])
    assert accuracy(probability, label) > 0.75
