"""kinesics import: foreign weights become a model that predicts; nothing in them is run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from kinesics.engine.prediction import Emotion
from kinesics.inference.predictor import load
from kinesics.nn.resnet import resnet

WORDS = ("--backbone", "resnet18", "--classes", "happy,sad,fear", "--size", "40")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ResNet-18 for three classes as torchvision's users save it: nested, under DataParallel's prefix."""
    torch.manual_seed(0)
    network = resnet(18, num_classes=3, in_channels=3, stem="small")
    path = tmp_path_factory.mktemp("foreign") / "best.pth"
    torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in network.state_dict().items()}}, path)
    return path


def test_an_imported_model_answers_as_the_network_does(
    file: Path, tmp_path: Path, faces: Path, kinesics: Callable[..., Any]
) -> None:
    out = tmp_path / "imported"
    answer = kinesics("import", file, out, *WORDS, "--mean", "0.4", "--std", "0.2")
    assert answer.code == 0 and f"kinesics predict {out}" in answer.out
    predictor = load(out)
    assert predictor.classes == ("happiness", "sadness", "fear") and predictor.task.spec.size == 40
    torch.manual_seed(0)
    network = resnet(18, num_classes=3, in_channels=3, stem="small").eval()
    pixels = torch.randint(0, 256, (40, 40, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = network(((pixels.float() / 255 - 0.4) / 0.2).permute(2, 0, 1)[None]).softmax(1)[0]
    (found,) = predictor(pixels.numpy())
    assert isinstance(found, Emotion) and found.distribution is not None
    assert list(found.distribution.values()) == pytest.approx(expected.tolist(), abs=1e-5)
    assert kinesics("predict", out, faces.parent / "test" / "000000.png").code == 0
    again = kinesics("import", file, out, *WORDS)
    assert again.code == 2 and "already holds a model" in again.err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--classes", "happy,sad"), "fc.weight is (3, 512) in the file, (2, 512) in the model"),
        (("--classes", "happy"), "two or more"),
        (("--classes", "happy,happiness"), "two or more different names"),
        (("--backbone", "resnet50"), "resnet50"),
        (("--stem", "imagenet"), "conv1.weight is (64, 3, 3, 3) in the file, (64, 3, 7, 7) in the model"),
        (("--backbone", "vgg19"), "compact, compact_wide"),
        (("--backbone", "vgg16"), "does not fill a vgg16 of 3 classes"),
        (("--preset", "paper"), "has no preset 'paper'"),
        (("--size", "4"), "between 8 and 1024"),
        (("--std", "0"), "above 0"),
        (("--system", "ldvla"), "did you mean ldlva"),
    ],
)
def test_what_does_not_fit_is_refused(
    flags: tuple[str, ...], said: str, file: Path, tmp_path: Path, kinesics: Callable[..., Any]
) -> None:
    """A network whose classifier would be left at random is no import."""
    answer = kinesics("import", file, tmp_path / "out", *WORDS, *flags)
    assert answer.code == 2 and said in answer.err, answer.err
    assert not (tmp_path / "out").exists()


class Payload:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        import os

        return os.mkdir, (str(self.target),)


def test_a_file_with_code_in_it_is_refused(tmp_path: Path, kinesics: Callable[..., Any]) -> None:
    path = tmp_path / "evil.pth"
    torch.save({"state_dict": Payload(tmp_path / "harm")}, path)
    answer = kinesics("import", path, tmp_path / "out", *WORDS)
    assert answer.code == 2 and "could run code" in answer.err
    assert not (tmp_path / "harm").exists() and not (tmp_path / "out").exists()


def test_what_the_model_file_says(file: Path, tmp_path: Path, kinesics: Callable[..., Any]) -> None:
    kinesics("import", file, tmp_path / "out", *WORDS, "--system", "ldlva")
    content = json.loads((tmp_path / "out" / "model.json").read_text())
    assert content["system"] == "ldlva" and content["config"]["backbone"] == "resnet18"
    assert content["spec"] | {"size": 40, "channels": 3, "n_train": 0} == content["spec"]
