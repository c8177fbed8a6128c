"""kinesics import: turn foreign weights (torchvision format, .pth or .safetensors) into a model of our own format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kinesics.cli.arguments import Parser


def main(argv: Sequence[str]) -> int:
    """Run the verb: read the weights without executing anything in them, and write a run directory that predicts."""
    parser = Parser(prog="kinesics import", description=__doc__)
    parser.add_argument("file", help="weights: .safetensors, .pth, .pt, .bin or .ckpt (a state dict)")
    parser.add_argument("out", type=Path, help="run directory to write")
    parser.add_argument("--system", default="cross_entropy", help="system whose model it becomes")
    parser.add_argument("--backbone", required=True, help="compact, resnet18, resnet34 or resnet50")
    parser.add_argument("--stem", default="auto", help="first layers of a ResNet: small, medium or imagenet")
    parser.add_argument("--classes", required=True, help="class names in label order, separated by commas")
    parser.add_argument("--size", type=int, required=True, help="side of the input in pixels")
    parser.add_argument("--channels", type=int, default=3, choices=(1, 3))
    parser.add_argument("--mean", type=float, default=0.5, help="taken off pixels in [0, 1]")
    parser.add_argument("--std", type=float, default=0.5, help="divides what is left")
    given = parser.parse_args(list(argv))
    from kinesics.data.emotions import canonical
    from kinesics.engine.config import InputConfig
    from kinesics.engine.run import Run
    from kinesics.engine.task import DataSpec
    from kinesics.engine.transfer import start_from
    from kinesics.errors import UserError
    from kinesics.systems import get_system

    if (given.out / "model.json").exists():
        raise UserError(f"{given.out} already holds a model", hint="choose another folder")
    InputConfig(size=given.size, channels=given.channels, mean=given.mean, std=given.std)
    classes = tuple(canonical(name) for name in given.classes.split(",") if name.strip())
    if len(classes) < 2 or len(set(classes)) != len(classes):
        raise UserError(f"--classes must be two or more different names; got {given.classes!r}")
    task_class = get_system(given.system).task_class
    spec = DataSpec(classes, given.size, given.channels, given.mean, given.std, n_train=0)
    task = task_class.build(task_class.config_class(backbone=given.backbone, stem=given.stem), spec)
    report = start_from(task, given.file)
    if lacking := [*report.skipped_shape, *report.missing]:
        raise UserError(
            f"{given.file} does not fill a {given.backbone} of {len(classes)} classes: {'; '.join(lacking[:4])}",
            hint="name its own classes and backbone; to train on from it, use kinesics train --weights",
        )
    run = Run(given.out)
    run.write_model(task, given.system, task.shared_state())
    print(f"{given.out}: kinesics predict {given.out} IMAGES...")
    return 0
