"""Federations side by side: every number worked out by hand from made-up run directories, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from kinesics.cli import main
from kinesics.errors import UserError
from kinesics.federated import comparison
from kinesics.federated.clock_figures import Line, bits, compared_clocks, error_of, error_title, seconds


def write(
    folder: Path,
    values: Sequence[float],
    each_s: float = 2.0,
    seed: int = 0,
    metric: str = "rmse",
    truth: Sequence[float] = (0.25, -0.5),
    **changes: Any,
) -> Path:
    """A finished federation, judged every second round; two underscores in a setting's name stand for a dot."""
    folder.mkdir(parents=True)
    config: dict[str, Any] = {
        "system": "fadnet", "data": f"{folder}/m.csv", "out": str(folder), "seed": seed,
        "fit": {"lr": 0.1, "threads": seed}, "federation": {"mode": "dfl", "local_steps": 1},
        "network": {"topology": "gaia", "overlay": "best-ring"},
    }  # fmt: skip
    for name, value in changes.items():
        part, _, last = name.rpartition("__")
        (config[part] if part else config)[last] = value
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    content = {
        "status": "finished", "system": config["system"], "seed": seed, "data": {"fingerprint": "f" * 64},
        "silos": {"a": 3, "b": 4}, "last": {"calibration": {}, "test": {metric: values[-1]}},
        "silos_alone": {"metric": metric, "better": 1 if metric == "accuracy" else -1, "mean": 0.5},
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(content))
    rows = [f"{2 * k},{0.5 * k},{each_s * k},{8e6 * k},{value}\n" for k, value in enumerate(values, start=1)]
    (folder / "metrics.csv").write_text(f"round,compute_s,modelled_s,message_bits,test/{metric}\n{''.join(rows)}")
    samples = "".join(f"{k}.png,test,{target}\n" for k, target in enumerate(truth))
    (folder / "predictions.csv").write_text(f"path,split,target\n{samples}v.png,valid,{seed}\n")
    return folder


def test_the_numbers_of_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lowest errors 0.2 and 0.25: both reach 0.25, the first at its third judgement, the second at its second."""
    one = write(tmp_path / "one", [0.5, 0.3, 0.2, 0.22], each_s=2)
    two = write(tmp_path / "two", [0.4, 0.25, 0.31], each_s=10, network__overlay="complete")
    out = tmp_path / "out"
    assert main(["federate", "compare", str(one), str(two), "--out", str(out)]) == 0
    table = pd.read_csv(out / "compare.csv")
    assert table["run"].tolist() == [str(one), str(two)]
    assert table["line"].tolist() == ["fadnet, dfl, best-ring", "fadnet, dfl, complete"]
    assert table["rounds"].tolist() == [8, 6] and table["rmse"].tolist() == [0.22, 0.31]
    assert table["modelled_s"].tolist() == [8, 30] and table["level"].tolist() == [0.25, 0.25]
    assert table["modelled_s_to_level"].tolist() == [6, 20]
    assert table["own_models"].tolist() == [0.5, 0.5] and table["message_bits"].tolist() == [32e6, 24e6]
    clock = pd.read_csv(out / "clock.csv")
    assert clock["round"].tolist() == [2, 4, 6, 8, 2, 4, 6]
    assert clock["modelled_s"].tolist() == [2, 4, 6, 8, 10, 20, 30] and (clock["error"] == clock["value"]).all()
    printed = capsys.readouterr().out
    assert "rmse on 2 samples of test; all reach RMSE 0.2500" in printed and "32 Mbit" in printed
    assert (out / "clock.png").read_bytes()[:4] == b"\x89PNG"
    assert "<svg" in (out / "clock.svg").read_text()


def test_of_a_metric_where_higher_is_better_the_rest_to_1_is_drawn(tmp_path: Path) -> None:
    runs = [
        comparison.read_federation(write(tmp_path / f"{k}", values, metric="accuracy", network__overlay=overlay))
        for k, (values, overlay) in enumerate((([0.5, 0.75], "mst"), ([0.25, 0.875], "complete")))
    ]
    assert runs[0].history["error"].tolist() == [0.5, 0.25] and runs[1].history["error"].tolist() == [0.75, 0.125]
    assert comparison.common_level(runs) == 0.25
    assert error_title("accuracy", 1) == "1 − accuracy" and error_title("uar", 1) == "1 − UAR"
    assert error_title("rmse", -1) == "RMSE" and error_of(np.array([0.3]), -1).tolist() == [0.3]


def test_runs_that_differ_in_their_seed_make_one_line(tmp_path: Path) -> None:
    """Their folder, manifest's place and threads may differ too; the time is the mean, the band goes to both ends."""
    folders = [
        write(tmp_path / "a", [0.5, 0.2], each_s=2, seed=0),
        write(tmp_path / "b", [0.3, 0.4], each_s=4, seed=1),
        write(tmp_path / "c", [0.9, 0.8], each_s=3, seed=0, federation__local_steps=5),
    ]
    runs = [comparison.read_federation(folder) for folder in folders]
    first, second = comparison.lines(runs)
    assert first.label == "fadnet, dfl, best-ring, local_steps 1" and second.label.endswith("local_steps 5")
    assert (first.seeds, second.seeds) == (2, 1)
    assert first.seconds.tolist() == [3, 6]
    assert first.mean.tolist() == pytest.approx([0.4, 0.3])
    assert first.least.tolist() == [0.3, 0.2] and first.most.tolist() == [0.5, 0.4]
    assert comparison.common_level(runs) == 0.8 and [run.seconds_to(0.35) for run in runs[:2]] == [4, 4]
    assert np.isnan(runs[2].seconds_to(0.35))


def test_modes_without_peers_are_named_by_their_place_and_forget_the_overlay(tmp_path: Path) -> None:
    folders = [
        write(tmp_path / "a", [0.5], federation__mode="sfl"),
        write(tmp_path / "b", [0.5], federation__mode="sfl", seed=1, network__overlay="mst"),
        write(tmp_path / "c", [0.5], federation__mode="cll"),
    ]
    labels = comparison.line_labels([comparison.read_federation(folder) for folder in folders])
    assert labels == ["fadnet, sfl, star", "fadnet, sfl, star", "fadnet, cll, one place"]


def line(end: float, first: float = 0.5, last: float = 0.4, seeds: int = 1) -> Line:
    error = np.array([first, last])
    return Line(f"to {end:g}", np.array([end / 2, end]), error, error - 0.01, error + 0.01, seeds)


@pytest.mark.parametrize(("ends", "scale"), [((10, 90), "linear"), ((10, 101), "log")])
def test_time_is_logarithmic_where_lines_end_far_apart(ends: tuple[float, float], scale: str) -> None:
    figure = compared_clocks([line(ends[0]), line(ends[1], seeds=3)], "rmse", -1, 0.4)
    (ax,) = figure.axes
    assert ax.get_xscale() == scale and ax.get_yscale() == "linear"
    assert ax.lines[1].get_xdata().tolist() == [ends[1] / 2, ends[1]]
    assert len(ax.collections) == 1, "a band for the line of three seeds only"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["to 10", f"to {ends[1]} (3 seeds)"]


def test_errors_that_span_much_are_logarithmic_and_many_lines_look_different() -> None:
    figure = compared_clocks([line(10, 5.0, 0.1), *(line(10 + k) for k in range(1, 20))], "rmse", -1, 0.1)
    (ax,) = figure.axes
    assert ax.get_yscale() == "log"
    looks = {(one.get_color(), str(one.get_linestyle()), one.get_marker()) for one in ax.lines[:18]}
    assert len(looks) == 18


def test_numbers_as_text() -> None:
    assert [bits(n) for n in (0, 999, 1e6, 2.5e9, 7e15)] == ["0 bit", "999 bit", "1 Mbit", "2.5 Gbit", "7e+03 Tbit"]
    assert [seconds(n) for n in (0.4123, 12.34, 1234.5)] == ["0.412 s", "12.3 s", "1,234 s"]


def change(name: str, **fields: Any) -> Any:
    def apply(folder: Path) -> None:
        content = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({k: v for k, v in {**content, **fields}.items() if v is not None}))

    return apply


def written(name: str, text: str) -> Any:
    return lambda folder: (folder / name).write_text(text)


def gone(name: str) -> Any:
    return lambda folder: (folder / name).unlink()


HEAD = "round,compute_s,modelled_s,message_bits,test/rmse\n"
TRUTH = "path,split,target\n"


@pytest.mark.parametrize(("harm", "said"), [
    (gone("run.json"), "run.json is missing"),
    (gone("config.yaml"), "config.yaml is missing"),
    (gone("metrics.csv"), "metrics.csv is missing"),
    (gone("predictions.csv"), "predictions.csv is missing"),
    (change("run.json", silos=None), "not a federation"),
    (written("config.yaml", "system: fadnet\n"), "not a federation"),
    (written("config.yaml", "federation: 3\n"), "don't describe a federation"),
    (written("config.yaml", "- 1\n"), "holds list"),
    (written("config.yaml", "a: [\n"), "can't be read"),
    (change("run.json", status="running"), "not finished"),
    (change("run.json", silos_alone=None), "don't describe a federation"),
    (change("run.json", last=3), "don't describe a federation"),
    (change("run.json", silos_alone={"metric": "beauty", "mean": 1}), "whether a higher or a lower beauty"),
    (change("run.json", silos_alone={"metric": "mae", "mean": 1}), "no column test/mae"),
    (written("run.json", "[]"), "expected a JSON object"),
    (written("metrics.csv", ""), "can't be read"),
    (written("metrics.csv", HEAD), "no rows"),
    (written("metrics.csv", "round,test/rmse\n2,0.5\n"), "no column compute_s, modelled_s, message_bits"),
    (written("metrics.csv", f"{HEAD}2,1,1,8,nan\n"), "is a number in no round"),
    (written("metrics.csv", f"{HEAD}2,1,1,8,low\n"), "low"),
    (written("metrics.csv", f"{HEAD}2,1,5,8,0.5\n4,2,3,16,0.4\n"), "go up"),
    (written("metrics.csv", f"{HEAD}2,1,,8,0.5\n"), "go up"),
    (written("metrics.csv", f"{HEAD}3,1,5,8,0.5\n"), "no judged round in common"),
    (written("predictions.csv", "path,split\na.png,test\n"), "neither a column label nor target"),
    (written("predictions.csv", f"{TRUTH}0.png,test,0.25\n"), "different samples: 2 of test, 1 of test"),
    (written("predictions.csv", f"{TRUTH}0.png,test,0.25\n1.png,test,0.75\n"), "first difference: 1.png"),
])  # fmt: skip
def test_what_cannot_be_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str], harm: Any, said: str) -> None:
    sound, harmed = write(tmp_path / "sound", [0.5, 0.4]), write(tmp_path / "harmed", [0.5, 0.4], seed=1)
    runs = [comparison.read_federation(folder) for folder in (sound, harmed)]
    comparison.check_comparable(runs)
    assert len(comparison.lines(runs)) == 1
    harm(harmed)
    assert main(["federate", "compare", str(sound), str(harmed), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert said in error and error.startswith("error: ")
    assert not (tmp_path / "out").exists()


def test_other_metrics_and_other_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    steering, faces = write(tmp_path / "s", [0.5]), write(tmp_path / "f", [0.5], metric="accuracy")

    def refused(*words: object) -> str:
        assert main(["federate", "compare", *map(str, words)]) == 2
        return capsys.readouterr().err

    out = ("--out", tmp_path / "out")
    assert "judged by rmse" in refused(steering, faces, *out)
    assert "two runs or more, got 1" in refused(steering, *out)
    assert "given twice" in refused(steering, f"{tmp_path}/./s", *out)
    assert "is a run directory" in refused(steering, faces, "--out", steering)
    assert "--out" in refused(steering, faces)
    assert "RUN" in refused(*out)
    assert "run.json is missing" in refused(steering, tmp_path / "nowhere", *out)
    with pytest.raises(SystemExit) as left:
        main(["federate", "compare", "--help"])
    assert left.value.code == 0 and "common level" in capsys.readouterr().out


def test_old_runs_know_the_direction_by_the_metric(tmp_path: Path) -> None:
    folder = write(tmp_path / "old", [0.5])
    change("run.json", silos_alone={"metric": "rmse", "mean": 0.5})(folder)
    assert comparison.read_federation(folder).better == -1
    with pytest.raises(UserError, match="two runs"):
        comparison.check_comparable([])
