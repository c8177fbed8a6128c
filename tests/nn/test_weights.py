"""Weights: what is read, what is refused without being run, and what fits into another network."""

from __future__ import annotations

import argparse
import pickle
import re
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from kinesics.errors import UserError
from kinesics.nn.resnet import resnet
from kinesics.nn.weights import LoadReport, fit_state, read_metadata, read_state, write_state

torch.set_num_threads(1)

PICKLES = (".pt", ".pth", ".bin", ".ckpt")


class Net(nn.Module):
    """A small network with the names that matter: a first convolution, a BatchNorm and a classifier."""

    def __init__(self, channels: int = 3, classes: int = 4, width: int = 5) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.fc = nn.Linear(width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.bn1(self.conv1(x)).mean((2, 3)))


class Nested(nn.Module):
    def __init__(self, **arguments: int) -> None:
        super().__init__()
        self.backbone = Net(**arguments)
        self.gate = nn.Linear(3, 3)


def random_state(**arguments: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    state = Net(**arguments).state_dict()
    return {
        key: torch.rand(value.shape, generator=generator) + 0.1 if value.is_floating_point() else value + 3
        for key, value in state.items()
    }


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) and a[key].dtype == b[key].dtype for key in a)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.bool])
def test_round_trip_of_own_files_is_exact(tmp_path: Path, dtype: torch.dtype) -> None:
    state = {
        "module.backbone.a": torch.arange(24).reshape(2, 3, 4).to(dtype),
        "module.backbone.b": torch.ones((), dtype=dtype),
        "module.backbone.c": torch.empty(0, 3, dtype=dtype),
    }
    write_state(tmp_path / "w.safetensors", state, {"classes": "neutral,Ärger"})
    assert equal(read_state(tmp_path / "w.safetensors"), state)
    metadata = read_metadata(tmp_path / "w.safetensors")
    assert metadata["classes"] == "neutral,Ärger" and metadata["format"] == "pt"
    assert read_metadata(tmp_path / "w.safetensors") == metadata


def test_own_files_are_plain_safetensors_and_the_same_bytes_every_time(tmp_path: Path) -> None:
    metadata = {f"key{i}": f"value {i}" for i in range(20)}
    for name in "ab":
        write_state(tmp_path / f"{name}.safetensors", random_state(), metadata)
    data = (tmp_path / "a.safetensors").read_bytes()
    assert data == (tmp_path / "b.safetensors").read_bytes()
    assert equal(safetensors.torch.load(data), random_state())
    assert int.from_bytes(data[:8], "little") % 8 == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.safetensors", "b.safetensors"]


def test_tied_and_channels_last_weights_are_written(tmp_path: Path) -> None:
    weight = torch.randn(4, 3, 2, 2).to(memory_format=torch.channels_last)
    write_state(tmp_path / "w.safetensors", {"a": weight, "b": weight, "c": nn.Parameter(weight[1:])})
    state = read_state(tmp_path / "w.safetensors")
    assert torch.equal(state["a"], weight) and torch.equal(state["b"], weight) and torch.equal(state["c"], weight[1:])


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_state(tmp_path / "w.safetensors", random_state())
    before = (tmp_path / "w.safetensors").read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(UserError, match="disk is full"):
        write_state(tmp_path / "w.safetensors", {"x": torch.ones(3)})
    assert (tmp_path / "w.safetensors").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("suffix", PICKLES)
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("nest", [(), ("state_dict",), ("model",), ("model_state_dict",), ("net",), ("model", "net")])
def test_foreign_files_are_unwrapped(tmp_path: Path, suffix: str, zipped: bool, nest: tuple[str, ...]) -> None:
    content: Any = OrderedDict(random_state())
    for key in nest:
        content = {"epoch": 3, "args": argparse.Namespace(lr=0.1), key: content, "optimizer": {"lr": 0.1}}
    path = tmp_path / f"w{suffix}"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    assert equal(read_state(path), random_state())


@pytest.mark.parametrize("prefix", ["module.", "backbone.", "_orig_mod.", "_orig_mod.module.", "module.backbone."])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_shared_prefixes_are_taken_off(tmp_path: Path, prefix: str, suffix: str) -> None:
    state = {prefix + key: value for key, value in random_state().items()}
    path = tmp_path / f"w{suffix}"
    if suffix == ".pth":
        torch.save(state, path)
    else:
        safetensors.torch.save_file(state, path)
    assert equal(read_state(path), random_state())


def test_a_prefix_that_only_some_names_have_stays(tmp_path: Path) -> None:
    state = {
        "backbone.weight": torch.ones(2),
        "head.weight": torch.ones(3),
        "head._orig_mod.bias": torch.ones(1),
    }
    torch.save(state, tmp_path / "w.pt")
    assert list(read_state(tmp_path / "w.pt")) == ["backbone.weight", "head.weight", "head.bias"]


def test_parameters_come_back_without_gradients(tmp_path: Path) -> None:
    torch.save({"a": nn.Parameter(torch.ones(2))}, tmp_path / "w.pt")
    assert not read_state(tmp_path / "w.pt")["a"].requires_grad


class Trap:
    """On unpickling it makes a file, which shows that code ran."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


class ShellTrap(Trap):
    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.system, (f"touch {self.path}",)


class EvalTrap(Trap):
    def __reduce__(self) -> tuple[Any, ...]:
        return eval, (f"open({str(self.path)!r}, 'w').close()",)


@pytest.mark.parametrize("trap", [Trap, ShellTrap, EvalTrap])
@pytest.mark.parametrize("way", ["zip", "legacy", "pickle2", "pickle4"])
@pytest.mark.parametrize("suffix", PICKLES)
def test_code_in_a_pickle_is_never_run(tmp_path: Path, trap: type[Trap], way: str, suffix: str) -> None:
    sprung, path = tmp_path / "sprung", tmp_path / f"w{suffix}"
    content = {"state_dict": {"a": torch.ones(2)}, "hook": trap(sprung)}
    if way in ("zip", "legacy"):
        torch.save(content, path, _use_new_zipfile_serialization=way == "zip")
    else:
        path.write_bytes(pickle.dumps({"hook": trap(sprung)}, protocol=int(way[-1])))
    with pytest.raises(UserError) as caught:
        read_state(path)
    assert not sprung.exists()
    assert "could run code" in caught.value.message and "weights_only" not in caught.value.message
    assert "convert it once" in (caught.value.hint or "")
    # the trap works: the unsafe way springs it
    if way == "pickle4":
        pickle.loads(path.read_bytes())
        assert sprung.exists()


def test_the_advised_conversion_works(tmp_path: Path) -> None:
    torch.save({**random_state(), "transform": Path("x")}, tmp_path / "in.pth")
    with pytest.raises(UserError) as caught:
        read_state(tmp_path / "in.pth")
    code = re.search(r'python -c "(.*)"', caught.value.hint or "")
    assert code
    source = code[1].replace("'IN'", f"{str(tmp_path / 'in.pth')!r}")
    source = source.replace("'OUT.safetensors'", f"{str(tmp_path / 'out.safetensors')!r}")
    subprocess.run([sys.executable, "-c", source], check=True, timeout=120)
    assert equal(read_state(tmp_path / "out.safetensors"), random_state())


@pytest.mark.parametrize("suffix", [".safetensors", *PICKLES])
@pytest.mark.parametrize("keep", [0.0, 0.01, 0.3, 0.9, 0.999])
def test_a_file_cut_short_is_a_user_error(tmp_path: Path, suffix: str, keep: float) -> None:
    path = tmp_path / f"w{suffix}"
    if suffix == ".safetensors":
        write_state(path, random_state())
    else:
        torch.save(random_state(), path)
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data))])
    with pytest.raises(UserError, match="damaged, cut short"):
        read_state(path)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("content", [b"<!DOCTYPE html><html></html>", b"version https://git-lfs.github.com/spec/v1\n"])
def test_a_page_or_a_pointer_in_place_of_weights(tmp_path: Path, suffix: str, content: bytes) -> None:
    (tmp_path / f"w{suffix}").write_bytes(content)
    with pytest.raises(UserError, match="another kind") as caught:
        read_state(tmp_path / f"w{suffix}")
    assert "web page" in (caught.value.hint or "") and "weights_only" not in str(caught.value)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.binary(max_size=300),
    start=st.sampled_from([b"", b"PK\x03\x04", b"\x80\x02", b"\x80\x04", b"\x10" + b"\0" * 7]),
)
def test_random_bytes_give_only_user_errors(tmp_path: Path, data: bytes, start: bytes) -> None:
    for suffix in (".pt", ".safetensors"):
        path = tmp_path / f"w{suffix}"
        path.write_bytes(start + data)
        with pytest.raises(UserError):
            read_state(path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    place=st.floats(0, 1, exclude_max=True),
    value=st.integers(0, 255),
    kind=st.sampled_from(["zip", "legacy", "safetensors"]),
)
def test_one_changed_byte_gives_tensors_or_a_user_error(tmp_path: Path, place: float, value: int, kind: str) -> None:
    path = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pt")
    if kind == "safetensors":
        write_state(path, {"a": torch.ones(3), "b": torch.ones(2, 2)}, {"classes": "x"})
    else:
        torch.save({"a": torch.ones(3)}, path, _use_new_zipfile_serialization=kind == "zip")
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] = value
    path.write_bytes(bytes(data))
    try:
        state = read_state(path)
    except UserError:
        return
    assert all(isinstance(key, str) and isinstance(tensor, torch.Tensor) for key, tensor in state.items())


@pytest.mark.parametrize(
    "content",
    [
        [torch.ones(2)],
        torch.ones(2),
        {"epoch": 3},
        {},
        {"model": {"model": {"model": {"model": {"model": {"a": torch.ones(1)}}}}}},
        {1: torch.ones(2)},
        {"a": torch.ones(2).to_sparse()},
        {"a": torch.ones(2, dtype=torch.complex64)},
        {"a": torch.empty(2, device="meta")},
    ],
)
def test_files_without_plain_tensors_by_name(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(UserError):
        read_state(tmp_path / "w.pt")


def test_a_dictionary_that_holds_itself(tmp_path: Path) -> None:
    content: dict[str, Any] = {}
    content["model"] = content
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(UserError, match="no tensors"):
        read_state(tmp_path / "w.pt")


def test_absent_files_folders_and_other_kinds(tmp_path: Path) -> None:
    (tmp_path / "folder.pt").mkdir()
    safetensors.torch.save_file({}, tmp_path / "empty.safetensors")
    for name, said in [
        ("none.pt", "no such file"),
        ("folder.pt", "no such file"),
        ("w.h5", "suffix '.h5'"),
        ("empty.safetensors", "no tensors"),
    ]:
        with pytest.raises(UserError, match=re.escape(said)):
            read_state(tmp_path / name)


def test_everything_fits_the_same_network() -> None:
    model = Net()
    report = fit_state(model, random_state())
    assert equal(dict(model.state_dict()), random_state())
    assert report == LoadReport(tuple(model.state_dict()), (), (), (), ())


def test_dtype_and_device_of_the_model_are_kept() -> None:
    model = Net()
    fit_state(model, {key: value.half() for key, value in random_state().items()})
    assert model.conv1.weight.dtype == torch.float32 and model.conv1.weight.requires_grad
    assert model.bn1.num_batches_tracked.dtype == torch.int64


def test_grey_network_from_colour_weights_gives_the_same_answer_to_grey_images() -> None:
    colour, grey = Net(channels=3), Net(channels=1)
    fit_state(colour, random_state(channels=3))
    report = fit_state(grey, colour.state_dict())
    assert report.adapted == ("conv1.weight from 3 input channels to 1: summed over them",)
    assert set(report.loaded) == set(grey.state_dict())
    images = torch.rand(6, 1, 9, 9)
    torch.testing.assert_close(grey.eval()(images), colour.eval()(images.expand(-1, 3, -1, -1)))


def test_colour_network_from_grey_weights_gives_the_same_answer_to_grey_images() -> None:
    grey, colour = Net(channels=1), Net(channels=3)
    fit_state(grey, random_state(channels=1))
    report = fit_state(colour, grey.state_dict())
    assert report.adapted == ("conv1.weight from 1 input channel to 3: repeated and divided by 3",)
    images = torch.rand(6, 1, 9, 9)
    torch.testing.assert_close(colour.eval()(images.expand(-1, 3, -1, -1)), grey.eval()(images))


def test_a_full_resnet_from_colour_to_grey() -> None:
    torch.manual_seed(0)
    colour, grey = resnet(18, 7).eval(), resnet(18, 7, in_channels=1).eval()
    fit_state(grey, colour.state_dict())
    images = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(grey(images), colour(images.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-5)


def test_a_classifier_of_another_class_count_is_left_out_and_said() -> None:
    model = Net(classes=7)
    fresh = model.fc.weight.detach().clone()
    report = fit_state(model, random_state(classes=4))
    assert torch.equal(model.fc.weight, fresh)
    assert torch.equal(model.conv1.weight, random_state()["conv1.weight"])
    assert [sentence.split()[0] for sentence in report.skipped_shape] == ["fc.weight", "fc.bias"]
    assert "(4, 5) in the file, (7, 5) in the model" in report.skipped_shape[0]
    assert "fc.weight" not in report.loaded and not report.missing and not report.unexpected
    assert report.summary().splitlines()[0] == "6 tensors loaded"
    assert "left out: fc.weight" in report.summary()


def test_rows_are_carried_over_by_class_name() -> None:
    model = Net(classes=3)
    fresh = {key: value.clone() for key, value in model.state_dict().items()}
    state = random_state(classes=4)
    report = fit_state(
        model,
        state,
        classes_from=["anger", "fear", "neutral", "happiness"],
        classes_to=["happiness", "contempt", "anger"],
    )
    for key in ("fc.weight", "fc.bias"):
        value = model.state_dict()[key]
        assert torch.equal(value[0], state[key][3])
        assert torch.equal(value[1], fresh[key][1])
        assert torch.equal(value[2], state[key][0])
    assert report.adapted[0] == "fc.weight: rows of happiness, anger carried over by name, contempt left as initialised"
    assert not report.skipped_shape


def test_the_same_classes_in_another_order_are_put_in_order() -> None:
    model, state = Net(classes=3), random_state(classes=3)
    fit_state(model, state, classes_from="abc", classes_to="cab")
    assert torch.equal(model.fc.weight, state["fc.weight"][[2, 0, 1]])


def test_classes_without_anything_shared_keep_the_fresh_rows() -> None:
    model = Net(classes=3)
    fresh = model.fc.weight.detach().clone()
    report = fit_state(model, random_state(classes=3), classes_from="abc", classes_to="xyz")
    assert torch.equal(model.fc.weight, fresh)
    assert len(report.skipped_shape) == 2 and "share no class" in report.skipped_shape[0]


def test_other_rows_than_the_classifier_can_be_named() -> None:
    model = nn.Module()
    model.centres = nn.Parameter(torch.zeros(2, 4))
    state = {"centres": torch.arange(12.0).reshape(3, 4)}
    fit_state(model, state, classes_from="abc", classes_to="cx", class_rows=["centres"])
    assert model.centres.tolist() == [[8, 9, 10, 11], [0, 0, 0, 0]]


@pytest.mark.parametrize(("before", "after"), [("abc", "abcd"), ("abcd", "abc")])
def test_class_names_that_do_not_match_the_rows(before: str, after: str) -> None:
    model = Net(classes=4)
    kept = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(UserError, match="has 4 rows in the"):
        fit_state(model, random_state(classes=4), classes_from=before, classes_to=after)
    assert equal(dict(model.state_dict()), kept)


def test_missing_and_unexpected_names_are_listed() -> None:
    state = random_state()
    del state["bn1.weight"], state["bn1.num_batches_tracked"]
    report = fit_state(Net(), {**state, "extra": torch.ones(1)})
    assert report.missing == ("bn1.weight",) and report.unexpected == ("extra",)
    assert "bn1.weight" in report.summary() and "extra" in report.summary()


@pytest.mark.parametrize("prefix", ["", "model.", "encoder."])
def test_a_bare_network_finds_its_place_inside_a_larger_one(prefix: str) -> None:
    model = Nested()
    gate = model.gate.weight.detach().clone()
    state = {prefix + key: value for key, value in random_state().items()}
    report = fit_state(model, {**state, "queue": torch.ones(3)})
    assert equal(dict(model.backbone.state_dict()), random_state())
    assert torch.equal(model.gate.weight, gate)
    assert report.missing == ("gate.weight", "gate.bias") and report.unexpected == ("queue",)


def test_the_network_inside_a_larger_one_fits_a_bare_one() -> None:
    model = Net()
    larger = Nested()
    fit_state(model, larger.state_dict())
    assert torch.equal(model.conv1.weight, larger.backbone.conv1.weight)


def test_given_prefixes_decide() -> None:
    model, state = Nested(), random_state()
    report = fit_state(model, {**state, "old.w": torch.eye(3)}, prefixes={"": "backbone.", "old.w": "gate.weight"})
    assert torch.equal(model.gate.weight, torch.eye(3)) and report.missing == ("gate.bias",)
    with pytest.raises(UserError):
        fit_state(Nested(), state, prefixes={"": "elsewhere."})


def test_nothing_fits_says_what_was_got_and_expected() -> None:
    model = Net()
    kept = {key: value.clone() for key, value in model.state_dict().items()}
    foreign = {"blocks.0.w": torch.ones(2), "bn1.num_batches_tracked": torch.tensor(9)}
    with pytest.raises(UserError) as caught:
        fit_state(model, foreign)
    assert "blocks.0.w" in caught.value.message and "conv1.weight" in caught.value.message
    assert "and 4 more" in caught.value.message and caught.value.hint
    assert equal(dict(model.state_dict()), kept)
    with pytest.raises(UserError, match="has nothing"):
        fit_state(model, {})
