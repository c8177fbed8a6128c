"""Out-of-fold answers: nobody is answered for by a model that has seen their label, and a killed call goes on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kinesics.data.augment import AugmentConfig
from kinesics.data.samples import Samples
from kinesics.data.synthetic.faces import draw_faces
from kinesics.engine.classifier import Classifier, ClassifierConfig
from kinesics.engine.config import FitConfig, InputConfig, Recipe
from kinesics.engine.loading import RunData, Splits
from kinesics.engine.task import DataSpec
from kinesics.errors import UserError
from kinesics.studies import crossval
from kinesics.studies.crossval import out_of_fold

torch.set_num_threads(1)
N = 24


class Net(nn.Module):
    """Eight features of the mean rows of a picture."""

    def __init__(self, n_classes: int, size: int) -> None:
        super().__init__()
        self.hidden, self.fc = nn.Linear(size, 8), nn.Linear(8, n_classes)

    def forward_features(self, image: Tensor) -> Tensor:
        return torch.tanh(self.hidden(image.mean((1, 3))))


class Small(Classifier):
    """A classifier whose checkpoints take no time."""

    net: type[Net] = Net

    def __init__(self, config: Any, spec: DataSpec, augment: AugmentConfig | None = None) -> None:
        super().__init__(config, spec, augment)
        self.model = self.net(spec.n_classes, spec.size)


def made(label: np.ndarray | None = None) -> RunData:
    drawn = draw_faces(N, 2, size=16, faces_per_person=4)
    columns = {"label": np.asarray(drawn.label if label is None else label, dtype=np.int64)}
    names = np.array([f"{i}.png" for i in range(N)], dtype=object)
    group = np.array([str(g) for g in drawn.group], dtype=object)
    train = Samples(drawn.images, np.arange(N), columns, names, drawn.classes, {"group": group})
    splits = Splits(train, None, None, f"fingerprint {columns['label'].tolist()}", "none", [])
    return RunData(train, None, None, drawn.classes, splits)


@pytest.fixture
def recipe() -> Recipe:
    """Two epochs on 16 pixels."""
    fit = FitConfig(epochs=2, batch_size=6, precision="fp32", threads=1)
    return Recipe("plain", "-", ClassifierConfig(), input=InputConfig(size=16), fit=fit)


def test_every_sample_is_answered_for_by_a_model_without_its_group(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[str]] = []
    real = crossval.fit

    def watched(task, train, valid, config, **settings):  # type: ignore[no-untyped-def]
        seen.append(set(train.extra["group"]))
        return real(task, train, valid, config, **settings)

    monkeypatch.setattr(crossval, "fit", watched)
    data = made()
    found = out_of_fold(Small, recipe, data, 3, tmp_path)
    assert found.probability.shape == (N, len(data.classes))
    assert np.allclose(found.probability.sum(1), 1)
    for part in range(3):
        assert not seen[part] & set(data.train.extra["group"][found.fold == part])
    assert not list(tmp_path.glob("fold-*/")), "checkpoints are gone"


def test_a_label_has_no_say_about_itself(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crossval, "folds", lambda n, k, *_: np.arange(n) % k)
    before = made()
    label = before.train.columns["label"].copy()
    label[0] = (label[0] + 1) % len(before.classes)
    a = out_of_fold(Small, recipe, before, 2, tmp_path / "a").probability
    b = out_of_fold(Small, recipe, made(label), 2, tmp_path / "b").probability
    assert np.array_equal(a[::2], b[::2]), "the fold of the changed label is answered for without it"
    assert not np.array_equal(a[1::2], b[1::2]), "the others learned from it"


class LeftAndRight(Net):
    """As its parent, of columns: a mirrored picture is another one."""

    def forward_features(self, image: Tensor) -> Tensor:
        return torch.tanh(self.hidden(image.mean((1, 2))))


class Sided(Small):
    """A classifier that answers otherwise to a mirrored picture."""

    net = LeftAndRight


@pytest.mark.parametrize("flip", [0.0, 0.5])
def test_what_learns_from_mirrored_pictures_is_asked_about_them_too(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flip: float
) -> None:
    kept: list[tuple[Any, np.ndarray]] = []
    real = crossval.predict_all

    def watched(task: Any, samples: Samples, size: int) -> Any:
        kept.append((task, samples.pixels(np.arange(len(samples)))))
        return real(task, samples, size)

    monkeypatch.setattr(crossval, "predict_all", watched)
    data = made()
    settings = replace(recipe, input=replace(recipe.input, augment=AugmentConfig(flip=flip)))
    found = out_of_fold(Sided, settings, data, 2, tmp_path)
    for part in range(2):
        inside = np.flatnonzero(found.fold == part)
        task, pixels = kept[part * (2 if flip else 1)]
        assert np.array_equal(pixels, data.train.images[inside])
        plain, swapped = (
            torch.softmax(
                task.features_and_logits(task.transform({"image": torch.from_numpy(shown)}, None)["image"])[1], 1
            )
            for shown in (pixels, np.flip(pixels, 2).copy())
        )
        assert (plain - swapped).abs().max() > 1e-3, "the model tells left from right"
        expected = (plain + swapped) / 2 if flip else plain
        assert np.allclose(found.probability[inside], expected.detach().numpy(), atol=1e-5)


def test_folds_that_were_asked_once_are_no_folds_of_two_views(recipe: Recipe, tmp_path: Path) -> None:
    out_of_fold(Small, recipe, made(), 2, tmp_path)
    note = tmp_path / "folds.json"
    content = json.loads(note.read_text())
    assert content.pop("views") == 2
    note.write_text(json.dumps(content))
    with pytest.raises(UserError, match="changed: views"):
        out_of_fold(Small, recipe, made(), 2, tmp_path)


def test_a_killed_call_goes_on_bit_for_bit(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = made()
    whole = out_of_fold(Small, recipe, data, 3, tmp_path / "whole")
    real, calls = crossval.fit, []

    def killed(task, train, valid, config, **settings):  # type: ignore[no-untyped-def]
        calls.append(1)
        if len(calls) == 2:  # after one of its two epochs
            real(task, train, valid, config, **settings, on_epoch=_stop)
        return real(task, train, valid, config, **settings)

    monkeypatch.setattr(crossval, "fit", killed)
    with pytest.raises(KeyboardInterrupt):
        out_of_fold(Small, recipe, data, 3, tmp_path / "again")
    assert (tmp_path / "again" / "fold-1.npz").is_file() and (tmp_path / "again" / "fold-2").is_dir()
    again = out_of_fold(Small, recipe, data, 3, tmp_path / "again")
    assert len(calls) == 4, "the first fold was not trained again"
    assert np.array_equal(again.probability, whole.probability)
    out_of_fold(Small, recipe, data, 3, tmp_path / "again")
    assert len(calls) == 4, "finished folds are only read"


def _stop(history: object) -> None:
    raise KeyboardInterrupt


def test_folds_of_something_else_are_refused(recipe: Recipe, tmp_path: Path) -> None:
    data = made()
    out_of_fold(Small, recipe, data, 2, tmp_path)
    with pytest.raises(UserError, match="changed: folds"):
        out_of_fold(Small, recipe, data, 3, tmp_path)
    with pytest.raises(UserError, match=r"changed: recipe\.seed"):
        out_of_fold(Small, replace(recipe, seed=1), data, 2, tmp_path)
    with pytest.raises(UserError, match="changed: data"):
        out_of_fold(Small, recipe, made(np.zeros(N)), 2, tmp_path)
    whole = (tmp_path / "fold-1.npz").read_bytes()
    for damaged in (b"no archive", b"", whole[: len(whole) // 2]):
        (tmp_path / "fold-1.npz").write_bytes(damaged)
        with pytest.raises(UserError, match=r"fold-1.npz can't be read"):
            out_of_fold(Small, recipe, data, 2, tmp_path)
    (tmp_path / "folds.json").write_text("[1]")
    with pytest.raises(UserError, match=r"folds.json can't be read"):
        out_of_fold(Small, recipe, data, 2, tmp_path)


def test_folds_of_an_older_version_that_lacks_a_setting_are_read(recipe: Recipe, tmp_path: Path) -> None:
    data = made()
    first = out_of_fold(Small, recipe, data, 2, tmp_path)
    note = tmp_path / "folds.json"
    stored = json.loads(note.read_text())
    del stored["recipe"]["input"]["augment"]["erase_area"]
    note.write_text(json.dumps(stored))
    assert np.array_equal(out_of_fold(Small, recipe, data, 2, tmp_path).probability, first.probability)
    del stored["data"]
    note.write_text(json.dumps(stored))
    with pytest.raises(UserError, match="changed: data"):
        out_of_fold(Small, recipe, data, 2, tmp_path)
