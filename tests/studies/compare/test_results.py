"""What is read out of runs and results.csv."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from kinesics.engine.run import Run
from kinesics.studies.compare.results import doubt_scores, read_results
from kinesics.studies.compare.study import answers_of
from kinesics.studies.compare.table import _over_samples, columns_of


def faces_of_one_photograph(folder: Path) -> None:
    """Three photographs of two faces each; the first faces' labels are right, of the others two are wrong. The photos
    are test images, too."""
    paths, true = ["a.png", "b.png", "c.png"], ["anger", "fear", "anger"]
    train = pd.DataFrame({"path": paths * 2, "true_label": [*true, "neutral", "neutral", "anger"], "split": "train"})
    train["label"] = [*true, "fear", "anger", "anger"]
    test = train.assign(split="test", label="sadness", true_label="sadness")
    pd.concat([train, test]).to_csv(folder / "m.csv", index=False)
    doubt = [0.1, 0.2, 0.3, 0.8, 0.9, 0.4]
    train[["path", "label"]].assign(label_doubt=doubt).to_csv(folder / "samples.csv", index=False)
    answers = test[["path", "split", "label"]].assign(predicted=["sadness"] * 3 + ["anger"] * 3)
    answers.to_csv(folder / "predictions.csv", index=False)


def test_faces_of_one_photograph_are_told_apart(tmp_path: Path) -> None:
    faces_of_one_photograph(tmp_path)
    assert doubt_scores(Run(tmp_path), tmp_path / "m.csv") == {"auroc_label_doubt": 1.0}
    (tmp_path / "run.json").write_text("{}")
    answers = answers_of(Run(tmp_path))
    assert list(answers) == [1.0] * 3 + [0.0] * 3
    both = {("c", "a", "s", 0): answers, ("c", "b", "s", 0): 1 - answers}
    found = _over_samples(both, ("c", "b", "s"), "a", [0], "accuracy_last")
    assert found["mcnemar_p"] == 1.0 and found["bootstrap_low"] < 0 < found["bootstrap_high"]


def test_faces_that_can_not_be_told_apart_are_not_judged(tmp_path: Path) -> None:
    """One face of a photograph was held out for validation: which one, samples.csv doesn't say."""
    faces_of_one_photograph(tmp_path)
    samples = pd.read_csv(tmp_path / "samples.csv")
    samples.drop(index=0).assign(label_doubt=[0.2, 0.3, 0.0, 0.9, 0.4]).to_csv(tmp_path / "samples.csv", index=False)
    assert doubt_scores(Run(tmp_path), tmp_path / "m.csv") == {"auroc_label_doubt": 1.0}


@pytest.mark.parametrize("name", ["None", "NA", "null", "nan"])
def test_names_that_look_like_blanks(name: str, tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    head = "condition,method,schedule,seed,accuracy_last,epochs,commit\n"
    path.write_text(f"{head}{name},{name},{name},0,,1,{name}\nx,y,z,1,0.5,,\n")
    assert read_results(path) == [
        {"condition": name, "method": name, "schedule": name, "seed": 0, "accuracy_last": "", "epochs": 1,
         "commit": name},
        {"condition": "x", "method": "y", "schedule": "z", "seed": 1, "accuracy_last": 0.5, "epochs": "", "commit": ""},
    ]  # fmt: skip


def test_fingerprints_are_no_numbers() -> None:
    """Hexadecimal digits may be decimal ones, with an e among them."""
    row = {"condition": "5", "accuracy_last": 0.5, "data": "123456789012", "definition": "12e456789012", "commit": "77"}
    assert columns_of([row]) == ["accuracy_last"]
