"""The contract across silos, held by every registered system: real runs, what is on the wire, and a kill."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import kinesics
from kinesics.data.synthetic.faces import write_faces
from kinesics.engine.config import FitConfig
from kinesics.engine.evaluate import judge
from kinesics.engine.fit import fit, step_seed
from kinesics.engine.loading import RunData, load_data
from kinesics.engine.run import Run
from kinesics.engine.task import Task
from kinesics.federated import report
from kinesics.federated import silo as silo_module
from kinesics.federated.config import FederatedRecipe, FederationConfig, PartitionConfig
from kinesics.federated.exchange import Exchange
from kinesics.federated.moments import Moments
from kinesics.federated.network import make_network
from kinesics.federated.session import federate_run
from kinesics.federated.silo import Silo, gather_silos
from kinesics.federated.simulate import Federated, Network, simulate
from kinesics.federated.stack import Stack
from kinesics.systems import SYSTEMS, get_system
from kinesics.systems.recipe import make_recipe

VARIANTS = [(name, preset) for name, system in SYSTEMS.items() for preset in system.presets]
PLAIN = FitConfig(batch_size=4, optimizer="sgd", lr=0.01, schedule="constant", precision="fp32", ema=0.0, threads=1)


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Decoded images go to a folder of these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KINESICS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three silos of 8 drawn faces that every system can learn from: labels, valence, arousal, target."""
    path = write_faces(tmp_path_factory.mktemp("faces"), 24, 4, 6, seed=0, size=32, faces_per_person=1)
    table = pd.read_csv(path)
    table["target"] = np.random.default_rng(0).uniform(-1, 1, len(table)).round(3)
    table["silo"] = [f"clinic-{k % 3}" for k in range(len(table))]
    table.to_csv(path, index=False)
    return path


def make_federated(
    manifest: Path, out: Path, system: str, preset: str = "default", **federation: Any
) -> FederatedRecipe:
    """The system's preset on the smallest backbone and input, four rounds of one step."""
    known = {item.name for item in fields(get_system(system).task_class.config_class)}
    small = {"backbone": "compact", "k": 3, "teacher_epochs": 1, "bank_hold": 0}
    settings = {f"task.{name}": value for name, value in small.items() if name in known}
    settings |= {
        "input.size": 32, "input.channels": 1, "fit.batch_size": 4, "fit.precision": "fp32", "fit.threads": 1,
        "data": str(manifest), "out": str(out), "preset": preset,
    }  # fmt: skip
    plain = vars(make_recipe(system, settings))
    rounds = {"rounds": 4, "evaluate_every": 2, "checkpoint_every": 1, **federation}
    return FederatedRecipe(**plain, federation=FederationConfig(**rounds), silos=PartitionConfig())


def go(recipe: FederatedRecipe, resume: bool = False) -> Run:
    """Train; the report, which takes longer than the training, is drawn in the command line's tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "write_report", lambda run, *_: (run.folder / "report.html").touch())
        return federate_run(get_system(recipe.system).task_class, recipe, make_network, resume=resume, shown=False)


@pytest.fixture(scope="module")
def whole(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """A run among peers that nothing stopped, not to be changed."""
    made: dict[tuple[str, str], Run] = {}

    def run(system: str, preset: str = "default") -> Run:
        if (system, preset) not in made:
            recipe = make_federated(manifest, tmp_path_factory.mktemp("whole") / "run", system, preset)
            made[system, preset] = go(recipe)
        return made[system, preset]

    return run


def check_run(run: Run, system: str, manifest: Path, silos: int) -> None:
    """The run is whole, finite, and read by everything that reads runs."""
    content = run.read_json("run.json")
    assert content["status"] == "finished" and content["system"] == system
    assert len(content["silos"]) == silos and sum(content["silos"].values()) == 24
    for name in ("config.yaml", "metrics.csv", "silos.csv", "samples.csv", "predictions.csv", "report.html"):
        assert (run.folder / name).is_file(), name
    assert not [path.name for path in run.checkpoints.iterdir() if path.is_dir()], "what preparing left"
    metric = content["silos_alone"]["metric"]
    told, history = content["last"]["test"][metric], pd.read_csv(run.folder / "metrics.csv")
    assert np.isfinite(history[["train/loss", "consensus", f"test/{metric}"]]).all().all()
    assert np.isfinite(pd.read_csv(run.folder / "silos.csv")[metric]).all()
    assert history[f"test/{metric}"].iloc[-1] == pytest.approx(told, abs=1e-6)
    model = kinesics.load(run.folder)
    assert judge(model.task, str(manifest)).metrics[metric] == pytest.approx(told, abs=1e-6)
    (answer,) = model(str(next((manifest.parent / "test").glob("*.png"))))
    assert np.isfinite(answer.angle if hasattr(answer, "angle") else list(answer.distribution.values())).all()


@pytest.mark.parametrize(("system", "preset"), VARIANTS, ids=["-".join(pair) for pair in VARIANTS])
def test_peers_leave_a_whole_run(system: str, preset: str, whole: Callable[..., Run], manifest: Path) -> None:
    check_run(whole(system, preset), system, manifest, 3)


@pytest.mark.parametrize("mode", ["sfl", "cll"])
@pytest.mark.parametrize("system", SYSTEMS)
def test_other_modes_leave_a_whole_run(system: str, mode: str, manifest: Path, tmp_path: Path) -> None:
    run = go(make_federated(manifest, tmp_path / "run", system, mode=mode, rounds=2))
    check_run(run, system, manifest, 1 if mode == "cll" else 3)


@pytest.mark.parametrize("system", SYSTEMS)
def test_only_shared_state_is_on_the_wire_and_a_kill_changes_nothing(
    system: str, whole: Callable[..., Run], manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """During every exchange each silo's local state and labels are garbage; the run ends with the same bits."""
    silos: dict[int, Silo] = {}
    mix, step = Exchange.mix, Silo.step
    calls = iter(range(10**6))

    def checked_mix(self: Exchange, matrix: torch.Tensor) -> None:
        kept = []
        for row, silo in zip(self.stack.matrix, silos.values(), strict=False):
            shared = {name: t for name, t in silo.task.shared_state().items() if t.is_floating_point()}
            assert set(self.stack.names) == set(shared) and not set(shared) & set(silo.task.local_state())
            assert all(torch.equal(view, shared[name]) for name, view in self.stack.unpack(row).items())
            kept += [(tensor, tensor.clone()) for tensor in silo.task.local_state().values()]
            kept += [(tensor, tensor.clone()) for tensor in map(torch.from_numpy, silo.train.columns.values())]
        with torch.no_grad():
            for tensor, _ in kept:
                tensor.fill_(-7)
            expected = matrix.float() @ self.stack.matrix
            mix(self, matrix)
            assert torch.allclose(self.stack.matrix, expected, atol=1e-5)
            for tensor, before in kept:
                tensor.copy_(before)

    def killed_step(self: Silo, *arguments: Any) -> None:
        silos.setdefault(self.seed, self)
        if next(calls) == 7:
            raise KeyboardInterrupt
        step(self, *arguments)

    recipe = make_federated(manifest, tmp_path / "run", system)
    with monkeypatch.context() as patch:
        patch.setattr(Exchange, "mix", checked_mix)
        patch.setattr(Silo, "step", killed_step)
        with pytest.raises(KeyboardInterrupt):
            go(recipe)
        assert len(silos) == 3
        silos.clear()
        run = go(recipe, resume=True)
    for name in ("model.safetensors", "samples.csv", "silos.csv", "predictions.csv"):
        assert (run.folder / name).read_bytes() == (whole(system).folder / name).read_bytes(), name


def test_ldlva_as_near_as_one_place_leaves_a_whole_run(manifest: Path, tmp_path: Path) -> None:
    """Teachers by all silos, running averages kept: what is told of the run is what its files answer."""
    table = pd.read_csv(manifest).drop(columns=["valence", "arousal"])
    labels_only = manifest.with_name("labels_only.csv")
    table.to_csv(labels_only, index=False)
    options = {"preparation": "joint", "moments": "mixed", "batch_norm": "moving", "ema": 0.9, "batches": "size"}
    run = go(make_federated(labels_only, tmp_path / "run", "ldlva", weighting="size", **options))
    check_run(run, "ldlva", labels_only, 3)
    notes = run.read_json("run.json")["notes"]
    assert {silo["valence_arousal"] for silo in notes.values()} == {"teacher"}
    bits = pd.read_csv(run.folder / "metrics.csv")["message_bits"]
    assert bits[0] > 1.5 * (bits[1] - bits[0])  # two rounds of two teachers, which lack some weights, came before


@pytest.mark.parametrize("batch_norm", ["renorm", "moving"])
def test_a_kill_changes_nothing_with_renormalised_layers_and_mixed_moments(
    batch_norm: str, whole: Callable[..., Run], manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"batch_norm": batch_norm, "moments": "mixed", "rounds": 6}
    step, calls = Silo.step, iter(range(10**6))

    def killed_step(self: Silo, *arguments: Any) -> None:
        if next(calls) == 10:
            raise KeyboardInterrupt
        assert len(self.renormalised) == 12
        step(self, *arguments)

    unbroken = go(make_federated(manifest, tmp_path / "unbroken", "cross_entropy", **options))
    recipe = make_federated(manifest, tmp_path / "run", "cross_entropy", **options)
    with monkeypatch.context() as patch:
        patch.setattr(Silo, "step", killed_step)
        with pytest.raises(KeyboardInterrupt):
            go(recipe)
        run = go(recipe, resume=True)
    for name in ("model.safetensors", "silos.csv", "predictions.csv"):
        assert (run.folder / name).read_bytes() == (unbroken.folder / name).read_bytes(), name
    assert (run.folder / "model.safetensors").read_bytes() != (
        whole("cross_entropy").folder / "model.safetensors"
    ).read_bytes()


def in_memory(manifest: Path, system: str) -> tuple[RunData, Callable[[int], Task]]:
    """The samples, and what makes a task for some of them without random changes of pictures."""
    recipe = make_federated(manifest, Path("unused"), system)
    data = load_data(recipe, get_system(system).task_class.truth)

    def make_task(n: int) -> Task:
        return get_system(system).task_class.build(recipe.task, data.spec(recipe.input, n), recipe.input.augment)

    return data, make_task


def federation_of(make_task: Callable[[int], Task], data: dict[str, Any]) -> Federated:
    n = len(data)
    network = Network(torch.full((n, n), 1 / n, dtype=torch.float64), lambda bits, ms: 1.0)
    settings = FederationConfig(rounds=3, evaluate_every=3)
    return simulate(make_task, data, network, settings, PLAIN, seed=5, name="", judge=lambda state: {})


@pytest.mark.parametrize("system", SYSTEMS)
def test_moments_of_local_state_are_never_mixed(system: str, manifest: Path) -> None:
    """Those of shared weights lie in the matrices that are sent, those of a silo's own parameters don't."""
    data, make_task = in_memory(manifest, system)
    silos = gather_silos(make_task, {"a": data.train, "b": data.train}, PLAIN, 5, None, False, False)
    stack = Stack([silo.task for silo in silos])
    for silo in silos:
        silo.optimizers = silo.task.optimizers(replace(PLAIN, optimizer="adamw"))
    moments = Moments(stack, silos)
    sent = {values.untyped_storage().data_ptr() for values in moments.matrices.values()}
    if system != "constant_steering":  # plain SGD at a rate of 0 keeps no moments
        assert set(moments.matrices) == {"exp_avg", "exp_avg_sq"}
    assert moments.width == len(sent) * stack.n_weights
    for silo in silos:
        for name, parameter in silo.task.named_parameters():
            held = [spec.optimizer.state[parameter] for spec in silo.optimizers if parameter in spec.optimizer.state]
            kept = [value for state in held for value in state.values() if value is not None and value.shape]
            lies_in = [value.untyped_storage().data_ptr() in sent for value in kept]
            assert lies_in == [name in silo.task.shared_state()] * len(kept), name


@pytest.mark.parametrize("system", SYSTEMS)
def test_one_silo_is_plain_training_and_equal_silos_are_one(
    system: str, manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, make_task = in_memory(manifest, system)
    train = data.train.subset(range(12))  # three batches of 4: three rounds are one epoch
    one = federation_of(make_task, {"a": train})
    torch.manual_seed(step_seed(5, 0))
    task = make_task(len(train))
    fit(task, train, None, PLAIN.__class__(**{**vars(PLAIN), "epochs": 1}), seed=step_seed(5, 11, 0), name="")
    for name, tensor in task.shared_state().items():
        assert torch.allclose(one.silos[0].task.shared_state()[name], tensor, atol=1e-5), name
    for name, tensor in task.local_state().items():
        assert torch.allclose(one.silos[0].task.local_state()[name].float(), tensor.float(), atol=1e-4), name

    seeds = silo_module.step_seed
    monkeypatch.setattr(  # every silo with the first one's batches and dropout
        silo_module, "step_seed", lambda *numbers: seeds(*numbers[:2], 0) if numbers[1:2] == (11,) else seeds(*numbers)
    )
    two = federation_of(make_task, {"a": train, "b": train})
    assert torch.equal(two.stack.matrix[0], two.stack.matrix[1])
    assert torch.equal(two.stack.matrix[0], one.stack.matrix[0])
