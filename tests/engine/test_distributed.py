"""Data-parallel training, two processes by torchrun: the same result as one, and state owned by sample id."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from kinesics.api import evaluate
from kinesics.data.synthetic.faces import write_faces
from kinesics.engine import distributed
from kinesics.engine.fit import epoch_order
from kinesics.errors import UserError

WORKER = Path(__file__).with_name("data_parallel_worker.py")


@pytest.fixture(scope="module")
def worker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("data_parallel_worker", WORKER)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes left."""
    folder = tmp_path_factory.mktemp("two")
    manifest = write_faces(folder / "faces", 24, 9, 9, seed=0, size=32, faces_per_person=2)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "KINESICS_CACHE": str(folder / "cache")}
    done = subprocess.run(
        [*command, str(WORKER), str(folder), str(manifest)],
        env=environment, capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


@pytest.fixture(scope="module")
def ranks(out: Path) -> list[dict[str, Any]]:
    return [torch.load(out / f"rank-{rank}.pt", weights_only=True) for rank in (0, 1)]


def unequal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> list[str]:
    return [name for name in a.keys() | b.keys() if not torch.equal(a[name], b[name])]


@pytest.mark.parametrize("accumulate", [1, 2])
def test_two_processes_give_the_numbers_of_one(
    accumulate: int, ranks: list[dict[str, Any]], worker: ModuleType
) -> None:
    """Without batch normalisation or random changes nothing but rounding differs, per-sample biases included."""
    alone = worker.steering(accumulate=accumulate)
    together = ranks[0]["steering" if accumulate == 1 else "steering parts"]
    for name, tensor in alone["task"].items():
        torch.testing.assert_close(together["task"][name], tensor, rtol=1e-4, atol=1e-6, msg=name)
    for mine, theirs in zip(alone["history"], together["history"], strict=True):
        assert theirs == pytest.approx(mine, rel=1e-4)
    assert alone["task"]["own"].abs().min() > 0


def test_every_process_ends_with_the_same_state(ranks: list[dict[str, Any]]) -> None:
    for name in (key for key in ranks[0] if isinstance(ranks[0][key], dict) and "task" in ranks[0][key]):
        first, second = ranks[0][name], ranks[1][name]
        assert unequal(first["task"], second["task"]) == [], name
        assert first["history"] == second["history"], name


def test_a_stopped_data_parallel_training_resumes_exactly(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        assert unequal(rank["steering"]["task"], rank["steering resumed"]["task"]) == []
        assert unequal(rank["steering"]["selected"], rank["steering resumed"]["selected"]) == []


def test_systems_learn_the_same_within_noise(system: str, ranks: list[dict[str, Any]], worker: ModuleType) -> None:
    """Batch normalisation over half a batch is the only difference; of `rul` also who is mixed with whom."""
    alone, together = worker.learned(system), ranks[0][system]
    assert unequal(alone["before"], together["before"]) == []
    mine, theirs = ([record["train/loss"] for record in found["history"]] for found in (alone, together))
    assert theirs == pytest.approx(mine, rel=0.2 if system == "rul" else 0.1)
    shares = [np.array(found["answers"]) for found in (alone, together)]
    assert np.abs(shares[0] - shares[1]).mean() < 0.05
    assert ranks[0][system]["answers"] == ranks[1][system]["answers"]
    assert len(shares[1]) == 20


def test_rows_of_samples_belong_to_their_ids(system: str, ranks: list[dict[str, Any]]) -> None:
    """In both processes exactly the rows of the 16 samples that either drew have changed, and they are equal."""
    drawn = set(epoch_order(20, 0, 0)[:16].tolist())
    for rank in ranks:
        found = rank[f"{system} step"]
        changed: set[int] = set()
        for name, before in found["before"].items():
            different = (found["after"][name] != before).reshape(len(before), -1).any(1)
            changed |= set(torch.nonzero(different).flatten().tolist())
        assert changed == (drawn if found["before"] else set())
    assert unequal(ranks[0][f"{system} step"]["after"], ranks[1][f"{system} step"]["after"]) == []


def test_ldlvas_rows_are_those_of_one_process(ranks: list[dict[str, Any]], worker: ModuleType) -> None:
    alone, together = worker.one_step("ldlva"), ranks[0]["ldlva step"]
    assert unequal(alone["before"], together["before"]) == []
    moved = [found["after"]["uncertainty_logit"] - found["before"]["uncertainty_logit"] for found in (alone, together)]
    assert torch.corrcoef(torch.stack(moved))[0, 1] > 0.9
    size = [float(change.abs().sum()) for change in moved]
    assert size[0] == pytest.approx(size[1], rel=0.2)


def test_samples_that_do_not_fill_a_batch(ranks: list[dict[str, Any]]) -> None:
    assert ranks[0]["few"] == ranks[1]["few"]


def test_averages(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        assert rank["gradients"] == [[1.5, 3.0], None, [2.0, 4.0], None]
        index, values = rank["rows"]
        assert index.tolist() == [0, 10, 1, 11]
        assert values.tolist() == [[0.0] * 3] * 2 + [[1.0] * 3] * 2
        assert rank["numbers"] == {"a": 1.5, "b": 5.0}
        assert rank["main"] == "said by 0"


def test_the_command_line_leaves_a_whole_run(out: Path) -> None:
    names = {path.name for path in (out / "run").iterdir()}
    kept = {f"{stem}.{suffix}" for stem in ("model", "model_last") for suffix in ("json", "safetensors")}
    tables = {"metrics.csv", "predictions.csv", "samples.csv"}
    assert names == kept | tables | {"checkpoints", "config.yaml", "report.html", "run.json"}
    described = json.loads((out / "run" / "run.json").read_text())
    assert described["processes"] == 2 and described["status"] == "finished"
    assert described["notes"]["valence_arousal"] == "teacher"
    assert list(pd.read_csv(out / "run" / "predictions.csv")["split"]) == ["valid"] * 9 + ["test"] * 9
    assert len(pd.read_csv(out / "run" / "samples.csv")) == 24
    found = evaluate(out / "run", out / "faces" / "manifest.csv")
    assert found.metrics["accuracy"] == pytest.approx(described["selected"]["test"]["accuracy"], abs=0.12)


def test_batches_that_can_not_be_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "world_size", lambda: 3)
    distributed.check_batch_size(12, 2)
    with pytest.raises(UserError, match="over 3 processes, 2 or more"):
        distributed.check_batch_size(10, 1)
    with pytest.raises(UserError, match=r"over 3 processes x 2 micro-batches, 2 or more"):
        distributed.check_batch_size(6, 2)  # one sample each: batch normalisation can't


def test_a_gpu_for_every_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the group is joined: NCCL's messages travel over the current GPU."""
    said: list[object] = []
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_RANK", "3")
    monkeypatch.setattr(torch.cuda, "set_device", said.append)
    monkeypatch.setattr(torch.distributed, "init_process_group", said.append)
    distributed.start("cuda")
    distributed.start("cpu")
    assert said == [3, "nccl", "gloo"]


def test_alone_nothing_is_shared() -> None:
    assert (distributed.rank(), distributed.world_size(), distributed.is_main()) == (0, 1, True)
    index, value = torch.arange(3), torch.ones(3)
    assert distributed.gather_rows(index, value) == (index, value)
    assert distributed.from_main(lambda: 7) == 7
    distributed.barrier()
    distributed.stop()
