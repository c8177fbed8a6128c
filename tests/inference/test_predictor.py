"""Answers for images in any form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import kinesics
from kinesics.data.synthetic.faces import draw_faces
from kinesics.engine.prediction import Emotion
from kinesics.engine.run import Run
from kinesics.engine.task import DataSpec
from kinesics.errors import UserError
from kinesics.inference.predictor import Predictor
from kinesics.systems import get_system

CLASSES = ("anger", "happiness", "sadness")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained grey model of 40 pixels with a temperature."""
    torch.manual_seed(0)
    task_class = get_system("cross_entropy").task_class
    task = task_class.build(task_class.config_class(), DataSpec(CLASSES, 40, 1, 0.5, 0.25, 0))
    task.calibration = {"temperature": 2.0}
    folder = tmp_path_factory.mktemp("run")
    Run(folder).write_model(task, "cross_entropy", task.shared_state())
    return folder


@pytest.fixture(scope="module")
def predictor(run: Path) -> Predictor:
    return kinesics.load(run)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return draw_faces(5, 0, size=40).images[..., 0]


def shares(answers: Any) -> np.ndarray:
    return np.array([list(answer.distribution.values()) for answer in answers])


def test_every_form_of_an_image_has_the_same_answer(predictor: Predictor, images: np.ndarray, tmp_path: Path) -> None:
    file = tmp_path / "face.png"
    Image.fromarray(images[0]).save(file)
    forms = [images[0], images[0][..., None], Image.fromarray(images[0]), str(file), file]
    expected = shares(predictor(images[0]))
    for form in forms:
        assert shares(predictor(form)) == pytest.approx(expected, abs=1e-6)
    assert shares(predictor(forms)) == pytest.approx(np.repeat(expected, 5, 0), abs=1e-6)
    assert [answer.source for answer in predictor(forms)] == ["", "", "", str(file), str(file)]
    assert predictor([]) == []


def test_answers_are_the_networks_calibrated(predictor: Predictor, images: np.ndarray) -> None:
    task: Any = predictor.task
    x = (torch.from_numpy(images).float()[:, None] / 255 - 0.5) / 0.25
    with torch.inference_mode():
        expected = (task.model(x).double() / 2.0).softmax(1).numpy()
    found = predictor(list(images), batch_size=2)
    assert shares(found) == pytest.approx(expected, abs=1e-6)
    for answer, row in zip(found, expected, strict=True):
        assert isinstance(answer, Emotion) and tuple(answer.distribution or {}) == predictor.classes == CLASSES
        assert answer.label == CLASSES[row.argmax()] and answer.confidence == pytest.approx(row.max(), abs=1e-6)
        assert answer.uncertainty == pytest.approx(-(row * np.log(row)).sum() / np.log(3), abs=1e-6)


def test_other_sizes_and_colours_are_fitted(predictor: Predictor, images: np.ndarray) -> None:
    large = np.kron(images[0], np.ones((3, 3), dtype=np.uint8))  # each pixel nine times
    colour = np.repeat(large[..., None], 3, axis=2)
    assert shares(predictor([large, colour])) == pytest.approx(np.repeat(shares(predictor(images[0])), 2, 0), abs=0.02)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), dtype=np.float32), np.zeros((4, 4, 2), dtype=np.uint8), np.zeros((2, 4, 4, 3), dtype=np.uint8),
        np.zeros((0, 4), dtype=np.uint8), np.zeros(4, dtype=np.uint8), None, 3, object(),
    ],
)  # fmt: skip
def test_what_is_no_image_is_refused(predictor: Predictor, image: Any) -> None:
    with pytest.raises(UserError, match=r"image: got an array|uint8"):
        predictor(image)


def test_files_that_are_no_images(predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"nothing")
    for name in ("a.png", "missing.png", "."):
        with pytest.raises(UserError, match=str(tmp_path / name)):
            predictor(tmp_path / name)


def test_loading(run: Path, tmp_path: Path) -> None:
    assert kinesics.load(str(run)).system == "cross_entropy"
    assert kinesics.load(run, last=True).classes == CLASSES  # without other weights the kept ones
    with pytest.raises(UserError, match="no trained model"):
        kinesics.load(tmp_path)
    with pytest.raises(UserError, match="--device toaster|--device 'toaster'"):
        kinesics.load(run, device="toaster")
