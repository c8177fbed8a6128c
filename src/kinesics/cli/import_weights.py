"""kinesics import: turn foreign weights (torchvision format, .pth or .safetensors) into a model of our own format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kinesics.cli.arguments import Parser

EPILOG = """A classifier needs --backbone, --classes and --size. For a released model of a system, --preset names the
settings that it was made with, input included; --size, --crop, --channels, --mean and --std override them."""


def main(argv: Sequence[str]) -> int:
    """Run the verb: read the weights without executing anything in them, and write a run directory that predicts."""
    parser = Parser(prog="kinesics import", description=__doc__, epilog=EPILOG)
    parser.add_argument("file", help="weights: .safetensors, .pth, .pt, .bin or .ckpt (a state dict)")
    parser.add_argument("out", type=Path, help="run directory to write")
    parser.add_argument("--system", default="cross_entropy", help="system whose model it becomes")
    parser.add_argument("--preset", default="default", help="the system's preset that the weights belong to")
    parser.add_argument("--backbone", help="compact, resnet18, resnet34, resnet50, mobilenet_v2, vgg16 or inception_v3")
    parser.add_argument("--stem", help="first layers of a ResNet: auto, small, medium or imagenet")
    parser.add_argument("--classes", help="class names in label order, separated by commas")
    parser.add_argument("--size", type=int, help="side of the input in pixels")
    parser.add_argument("--crop", type=float, help="centred square cut out, as a share of the shorter side; 0: none")
    parser.add_argument("--channels", type=int, choices=(1, 3), help="1 grey, 3 RGB (a classifier: 3)")
    parser.add_argument("--mean", type=float, help="taken off pixels in [0, 1] (a classifier: 0.5)")
    parser.add_argument("--std", type=float, help="divides what is left (a classifier: 0.5)")
    given = parser.parse_args(list(argv))
    from kinesics.engine.run import Run
    from kinesics.engine.task import DataSpec
    from kinesics.engine.transfer import start_from
    from kinesics.errors import UserError
    from kinesics.systems import get_system
    from kinesics.systems.recipe import make_recipe

    if (given.out / "model.json").exists():
        raise UserError(f"{given.out} already holds a model", hint="choose another folder")
    task_class = get_system(given.system).task_class
    classifies = task_class.truth == "label"
    recipe = make_recipe(given.system, _settings(given, classifies))
    classes = _classes(given.classes, classifies)
    asked = recipe.input
    spec = DataSpec(classes, asked.size, asked.channels, asked.mean, asked.std, n_train=0, crop=asked.crop)
    task = task_class.build(recipe.task, spec)
    report = start_from(task, given.file)
    if lacking := [*report.skipped_shape, *report.missing]:
        network = f"{given.backbone} of {len(classes)} classes" if classifies else f"{given.system} ({given.preset})"
        raise UserError(
            f"{given.file} does not fill a {network}: {'; '.join(lacking[:4])}",
            hint="name its own classes, backbone or preset; to train on from it, use kinesics train --weights",
        )
    run = Run(given.out)
    run.write_model(task, given.system, task.shared_state())
    print(f"{given.out}: kinesics predict {given.out} IMAGES...")
    return 0


def _settings(given: Any, classifies: bool) -> dict[str, Any]:
    """The flags as a recipe's settings."""
    from kinesics.errors import UserError

    named = {name: getattr(given, name) for name in ("backbone", "stem")}
    named = {f"task.{name}": value for name, value in named.items() if value is not None}
    usual = {"channels": 3, "mean": 0.5, "std": 0.5} if classifies and given.preset == "default" else {}
    asked = {name: getattr(given, name) for name in ("size", "crop", "channels", "mean", "std")}
    shown = usual | {name: value for name, value in asked.items() if value is not None}
    if classifies and (lacking := [name for name in ("backbone", "classes", "size") if getattr(given, name) is None]):
        raise UserError(
            f"--{' and --'.join(lacking)} must be given for a classifier", hint="kinesics import --help lists the flags"
        )
    return {"data": "-", "preset": given.preset, **named, **{f"input.{name}": value for name, value in shown.items()}}


def _classes(text: str | None, classifies: bool) -> tuple[str, ...]:
    from kinesics.data.emotions import canonical
    from kinesics.errors import UserError

    if not classifies:
        if text is not None:
            raise UserError("--classes: this system answers with a number and has no classes", hint="leave it out")
        return ()
    classes = tuple(canonical(name) for name in (text or "").split(",") if name.strip())
    if len(classes) < 2 or len(set(classes)) != len(classes):
        raise UserError(f"--classes must be two or more different names; got {text!r}")
    return classes
