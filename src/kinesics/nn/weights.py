"""Weights in files, own and foreign: read without running code, fitted to a model, written atomically."""

from __future__ import annotations

import argparse
import json
import os
import pickle
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import safe_open
from torch import Tensor, nn

from kinesics.errors import UserError
from kinesics.files import atomic_write

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")

NESTS = ("state_dict", "model", "model_state_dict", "net")
"""Keys under which training code saves the state dict beside the epoch and the optimiser."""

WRAPPERS = ("module.", "backbone.")
"""Prefixes left by DataParallel and by training code that nests its network."""

NETWORKS = ("backbone.", "model.", "encoder.", "net.")
"""Names under which training code keeps the network beside other modules."""

PLAIN = {torch.float64, torch.float32, torch.float16, torch.bfloat16}
PLAIN |= {torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool}
"""Number types that weights are read in."""

OWN_MARK = {"writer": "kinesics"}

CONVERSION = (
    "if you trust its author, convert it once, where nothing can be harmed (with ['state_dict'] behind "
    'load(...) where the weights are nested): python -c "import torch, safetensors.torch as s; '
    "d = torch.load('IN', weights_only=False, map_location='cpu'); s.save_file({k: v.clone().contiguous() "
    "for k, v in d.items() if torch.is_tensor(v)}, 'OUT.safetensors')\""
)


@dataclass(frozen=True)
class LoadReport:
    """What `fit_state` did with each tensor. Keys are the model's, only those in `unexpected` the file's."""

    loaded: tuple[str, ...]
    """Keys that now hold the file's values, adapted ones included."""
    adapted: tuple[str, ...]
    """One sentence for each tensor that was changed to fit, or fitted in part."""
    skipped_shape: tuple[str, ...]
    """One sentence for each tensor left out because it differs in shape; the model keeps its own values."""
    missing: tuple[str, ...]
    """Keys of the model that the file lacks (but for BatchNorm's step counters, which nothing reads)."""
    unexpected: tuple[str, ...]
    """Keys of the file that the model lacks."""

    def summary(self) -> str:
        """A few lines for the log."""
        lines = [f"{len(self.loaded)} tensors loaded"]
        lines += [f"adapted: {sentence}" for sentence in self.adapted]
        lines += [f"left out: {sentence}" for sentence in self.skipped_shape]
        if self.missing:
            lines.append(f"not in the file, kept as initialised: {_first(self.missing)}")
        if self.unexpected:
            lines.append(f"in the file, not used: {_first(self.unexpected)}")
        return "\n".join(lines)


def read_state(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The tensors of a weights file by name, on the CPU. No code from the file is run.

    A dictionary nested under one of `NESTS` is unwrapped, torch.compile's "_orig_mod." is taken out of the
    names, and so is one of `WRAPPERS` when every name starts with it. Files made by `write_state` are read
    back name for name.

    Args:
        path: .safetensors, or what torch.save made: .pt, .pth, .bin, .ckpt.

    Raises:
        UserError: no such file, another suffix, a damaged file, one without tensors, or a pickle that could
            run code.
    """
    file = _existing(path)
    own = False
    if file.suffix.lower() == ".safetensors":
        state, metadata = _read_safetensors(file)
        own = OWN_MARK.items() <= metadata.items()
    else:
        state = _unwrapped(_read_pickle(file), file)
    if not state:
        raise UserError(f"{file} holds no tensors", hint="save model.state_dict()")
    for key, value in state.items():
        if value.dtype not in PLAIN or value.layout != torch.strided or value.device.type != "cpu":
            kind = f"{value.dtype}, {value.layout}, on {value.device}"
            raise UserError(
                f"{file}: {key!r} is {kind}; expected plain numbers",
                hint="save the model's ordinary state_dict(), in float32 or float16",
            )
    return state if own else _bare(state)


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The metadata of a .safetensors file; empty for other kinds of file, which have none.

    Raises:
        UserError: as `read_state`.
    """
    file = _existing(path)
    return _read_safetensors(file)[1] if file.suffix.lower() == ".safetensors" else {}


def write_state(
    path: str | os.PathLike[str], state: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a .safetensors file atomically; the same content always gives the same bytes.

    Args:
        path: the file to make or replace.
        state: tensors on any device; they are written contiguous, each on its own (tied weights twice).
        metadata: short texts that travel in the file's header.

    Raises:
        UserError: as `kinesics.files.atomic_write`.
    """
    tensors = {key: value.detach().cpu().clone(memory_format=torch.contiguous_format) for key, value in state.items()}
    data = safetensors.torch.save(tensors, {"format": "pt", **(metadata or {}), **OWN_MARK})
    with atomic_write(path) as stream:
        stream.write(_with_sorted_metadata(data))


def fit_state(
    model: nn.Module,
    state: Mapping[str, Tensor],
    prefixes: Mapping[str, str] | None = None,
    classes_from: Sequence[str] | None = None,
    classes_to: Sequence[str] | None = None,
    class_rows: Iterable[str] = ("fc.weight", "fc.bias"),
) -> LoadReport:
    """Load into `model` all of `state` that fits, in place, and say what did not.

    - A convolution between 3 and 1 input channels is adapted: 3 -> 1 sums over the channels, 1 -> 3 repeats
      and divides by 3. Both keep the response to grey images, if the three channels are normalised alike.
    - Where the names of both sets of classes are given and differ, the rows of `class_rows` are carried over
      by name, and those of new classes keep the model's fresh values.
    - Any other tensor of another shape is left out, a classifier of another class count among them.

    Args:
        model: changed in place, dtypes and devices kept; untouched when an error is raised.
        state: tensors by name, from `read_state`.
        prefixes: file prefix -> model prefix, the longest that matches wins: {"": "backbone."} loads a bare
            ResNet into the part called backbone. None tries the names as they are, without one of `NETWORKS`,
            and inside each child of the model, and takes what fits most tensors.
        classes_from: the class names of the file, in order.
        classes_to: the class names of the model, in order.
        class_rows: the model's keys that hold one row per class.

    Raises:
        UserError: nothing fits, or the class names do not match the number of rows.
    """
    own = {key: value for key, value in model.state_dict().items() if isinstance(value, Tensor)}
    names = _best_names(own, state, model) if prefixes is None else _names(state, prefixes)
    named = classes_from is not None and classes_to is not None and list(classes_from) != list(classes_to)
    rows = set(class_rows) if named else set()
    values: dict[str, Tensor] = {}
    adapted: list[str] = []
    skipped: list[str] = []
    for key, target in own.items():
        if key not in names:
            continue
        value = state[names[key]]
        if key in rows and value.ndim and value.shape[1:] == target.shape[1:]:
            merged, sentence = _rows_by_name(key, value, target, classes_from or (), classes_to or ())
            (skipped if merged is None else adapted).append(sentence)
            if merged is not None:
                values[key] = merged
        elif value.shape == target.shape:
            values[key] = value
        elif _differ_in_channels(value, target):
            values[key], sentence = _other_channels(key, value, target)
            adapted.append(sentence)
        else:
            skipped.append(f"{key} is {tuple(value.shape)} in the file, {tuple(target.shape)} in the model")
    # a step counter has no dimensions and fits every network: it is no sign that the file is of this one
    if not any(value.ndim for value in values.values()):
        raise UserError(
            f"no tensor of the weights fits the model: the file has {_first(state)}; the model expects "
            f"{_first(own)}" + (f"; {skipped[0]}" if skipped else ""),
            hint="use weights of the same network, or choose the network that the weights are of",
        )
    with torch.no_grad():
        for key, value in values.items():
            own[key].copy_(value)
    used = {names[key] for key in own.keys() & names.keys()}
    return LoadReport(
        loaded=tuple(values),
        adapted=tuple(adapted),
        skipped_shape=tuple(skipped),
        missing=tuple(key for key in own if key not in names and not key.endswith("num_batches_tracked")),
        unexpected=tuple(key for key in state if key not in used),
    )


def _existing(path: str | os.PathLike[str]) -> Path:
    file = Path(path)
    if file.suffix.lower() not in SUFFIXES:
        raise UserError(
            f"{file}: can't read weights with the suffix {file.suffix!r}; expected {', '.join(SUFFIXES)}",
            hint="convert them to .safetensors",
        )
    if not file.is_file():
        raise UserError(f"{file}: no such file", hint="check the path given for the weights")
    return file


def _read_safetensors(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(file, framework="pt", device="cpu") as content:
            names = list(content.keys())
            return {name: content.get_tensor(name) for name in names}, dict(content.metadata() or {})
    except Exception as error:  # the parser answers a damaged file with many kinds of exception
        raise _damaged(file, _reason(error)) from error


def _read_pickle(file: Path) -> Any:
    try:
        # a Namespace of flags beside the weights is common, and is a plain holder of attributes
        with warnings.catch_warnings(), torch.serialization.safe_globals([argparse.Namespace]):
            warnings.simplefilter("ignore")  # about the pickle protocol, of files that are then refused
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can raise nearly anything
        asked_for = re.search(r"GLOBAL ([\w.]+)", str(error))
        is_pickle = isinstance(error, pickle.UnpicklingError) and file.read_bytes()[:1] == b"\x80"
        if asked_for or is_pickle:
            what = f" ({asked_for[1]})" if asked_for else ""
            raise UserError(
                f"{file} is not loaded: this pickle holds more than tensors{what}; reading it could run code",
                hint=CONVERSION,
            ) from error
        # the message of an UnpicklingError advises to load the file unsafely: it is not passed on
        reason = "not a PyTorch file" if isinstance(error, pickle.UnpicklingError) else _reason(error)
        raise _damaged(file, reason) from error


def _reason(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _damaged(file: Path, reason: str) -> UserError:
    return UserError(
        f"{file} can't be read as weights: it is damaged, cut short or of another kind ({reason})",
        hint="fetch or write it again; what was downloaded may also be a web page or a Git LFS pointer",
    )


def _unwrapped(content: Any, file: Path) -> dict[str, Tensor]:
    """The first dictionary with tensors, looked for at most four levels down."""
    for _ in range(4):
        inner = None
        if isinstance(content, Mapping):
            inner = next((content[nest] for nest in NESTS if isinstance(content.get(nest), Mapping)), None)
        if inner is None:
            break
        content = inner
    entries = content.items() if isinstance(content, Mapping) else ()
    tensors = {k: v.detach() for k, v in entries if isinstance(k, str) and isinstance(v, Tensor)}
    if tensors:
        return tensors
    found = f"the keys {_first(map(str, content))}" if isinstance(content, Mapping) else type(content).__name__
    raise UserError(
        f"{file} has no tensors by name: found {found}; expected a state dict, or one under " + ", ".join(NESTS),
        hint="save model.state_dict()",
    )


def _bare(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors without the names of what they were wrapped in."""
    state = {re.sub(r"(^|\.)_orig_mod\.", r"\1", key): value for key, value in state.items()}
    while prefix := next((p for p in WRAPPERS if all(key.startswith(p) for key in state)), None):
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def _with_sorted_metadata(data: bytes) -> bytes:
    """The same file with its metadata in order: safetensors writes it in another order each time."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the numbers start at a multiple of 8 bytes, as safetensors writes them
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def _names(state: Iterable[str], prefixes: Mapping[str, str]) -> dict[str, str]:
    """Model key -> file key. A file key that no prefix matches keeps its name."""
    names: dict[str, str] = {}
    longest_first = sorted(prefixes, key=len, reverse=True)
    for key in state:
        prefix = next((p for p in longest_first if key.startswith(p)), None)
        names.setdefault(key if prefix is None else prefixes[prefix] + key.removeprefix(prefix), key)
    return names


def _best_names(own: Mapping[str, Tensor], state: Mapping[str, Tensor], model: nn.Module) -> dict[str, str]:
    """The renaming under which most tensors fit; the names as they are win a tie."""
    removals = ["", *(prefix for prefix in NETWORKS if any(key.startswith(prefix) for key in state))]
    additions = ["", *(f"{name}." for name, _ in model.named_children())]

    def fits(names: Mapping[str, str]) -> int:
        pairs = [(state[names[key]], own[key]) for key in own.keys() & names.keys()]
        return sum(a.ndim > 0 and (a.shape == b.shape or _differ_in_channels(a, b)) for a, b in pairs)

    return max((_names(state, {remove: add}) for remove in removals for add in additions), key=fits)


def _differ_in_channels(value: Tensor, target: Tensor) -> bool:
    """Whether both are weights of one convolution (O, I, h, w), but that I is 3 in one and 1 in the other."""
    if value.ndim != 4 or target.ndim != 4 or {value.shape[1], target.shape[1]} != {1, 3}:
        return False
    return value.shape[0] == target.shape[0] and value.shape[2:] == target.shape[2:]


def _other_channels(key: str, value: Tensor, target: Tensor) -> tuple[Tensor, str]:
    """(O, 3, h, w) as (O, 1, h, w) or the reverse, and a sentence."""
    value = value.to(target.device, target.dtype)
    if value.shape[1] == 3:
        return value.sum(1, keepdim=True), f"{key} from 3 input channels to 1: summed over them"
    return value.expand_as(target) / 3, f"{key} from 1 input channel to 3: repeated and divided by 3"


def _rows_by_name(
    key: str, value: Tensor, target: Tensor, classes_from: Sequence[str], classes_to: Sequence[str]
) -> tuple[Tensor | None, str]:
    """`target`'s values with the rows of shared classes from `value` (None without any), and a sentence."""
    for tensor, classes, where in ((value, classes_from, "file"), (target, classes_to, "model")):
        if tensor.shape[0] != len(classes):
            raise UserError(
                f"{key} has {tensor.shape[0]} rows in the {where}, but its {len(classes)} class names are "
                + ", ".join(classes),
                hint=f"give one name per row of {key}, in order",
            )
    shared = [name for name in classes_to if name in classes_from]
    fresh = [name for name in classes_to if name not in classes_from]
    if not shared:
        return None, f"{key}: the file and the model share no class"
    rows = target.detach().clone()
    for name in shared:
        rows[classes_to.index(name)] = value[classes_from.index(name)]
    left = f", {', '.join(fresh)} left as initialised" if fresh else ""
    return rows, f"{key}: rows of {', '.join(shared)} carried over by name{left}"


def _first(names: Iterable[str], count: int = 4) -> str:
    """The first few names, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - count} more" if len(listed) > count else ""
    return (", ".join(listed[:count]) or "nothing") + more
