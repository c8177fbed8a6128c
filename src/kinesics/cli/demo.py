"""kinesics demo: cross-entropy and LDLVA side by side on drawn faces of which 30 % carry a wrong label."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kinesics.cli.arguments import Parser

EASE: dict[str, Any] = {"ambiguity": 0.3, "occlusion": 0.1, "intensity": (0.8, 1.0), "pose": 5.0, "light": 0.3}
"""Milder poses, light and occlusion than the drawer's defaults: a small net must learn them within a minute."""

METHODS = {"cross_entropy": "plain cross-entropy", "ldlva": "LDLVA"}

INTRO = """Faces drawn by kinesics: the true mixture of emotions of every face is known. {share:.0%} of the training and
validation labels were flipped to another class at random; both methods learn from those labels. LDLVA also sees each
face's valence and arousal, the auxiliary annotation it is built on (the drawing's own values, blurred by an offset for
each person). They are judged on {n_test} faces against the true mixtures.

Reading it: accuracy against the strongest emotion of the true mixture; KL is the mean divergence from the true mixture
to the answer, after each method's own temperature; calibration error is the gap between confidence and accuracy. The
temperature is fitted on validation labels of which {share:.0%} are wrong too, so both methods are less sure than right.
AUROC says how well the method's doubt about each training label finds the flipped ones (0.5 is chance, 1 perfect)."""


def main(argv: Sequence[str]) -> int:
    """Run the verb."""
    parser = Parser(prog="kinesics demo", description=__doc__)
    parser.add_argument(
        "--out", type=Path, default=Path("runs/demo"), help="folder for faces, runs and report.html (runs/demo)"
    )
    parser.add_argument("--n-train", type=int, default=2000, help="training faces (2000)")
    parser.add_argument("--n-test", type=int, default=1000, help="test faces (1000)")
    parser.add_argument("--epochs", type=int, default=16, help="of each training (16)")
    parser.add_argument("--flipped", type=float, default=0.3, help="share of wrong labels, 0 to 0.8 (0.3)")
    parser.add_argument("--seed", type=int, default=0, help="of the faces, the flips and the trainings (0)")
    given = parser.parse_args(list(argv))
    import pandas as pd

    from kinesics.api import evaluate, train
    from kinesics.cli.tables import print_table
    from kinesics.engine.config import require
    from kinesics.engine.evaluation import Evaluation
    from kinesics.engine.report import ComparedRun, comparison_report
    from kinesics.engine.run import Run
    from kinesics.errors import UserError
    from kinesics.metrics.classification import auroc
    from kinesics.progress import log

    require(given.n_train >= 50, "--n-train", given.n_train, "at least 50")
    require(given.n_test >= 20, "--n-test", given.n_test, "at least 20")
    require(0 <= given.flipped <= 0.8, "--flipped", given.flipped, "in [0, 0.8]")
    if any((given.out / name / "run.json").exists() for name in METHODS):
        raise UserError(f"{given.out} already holds a demo", hint="choose another --out folder, or delete it")
    log.info("drawing %d faces", given.n_train + given.n_train // 5 + given.n_test)
    manifest, flipped = noisy_faces(given.out / "faces", given.n_train, given.n_test, given.flipped, given.seed)
    rows, runs = {}, []
    for name, title in METHODS.items():
        log.info("%s: %d epochs", title, given.epochs)
        run = train(
            name,
            manifest,
            out=str(given.out / name),
            seed=given.seed,
            fit__epochs=given.epochs,
            fit__batch_size=32,
            fit__lr=2e-3,
            fit__ema=0.98,
            task__backbone="compact",
            input__augment__rotate=8.0,
            input__augment__shift=0.06,
            input__augment__contrast=0.2,
        )
        judged = evaluate(run.folder, manifest)
        doubt = pd.read_csv(run.folder / "samples.csv").set_index("path")["label_doubt"]
        rows[title] = {
            "accuracy": judged.metrics["accuracy"],
            "kl_calibrated": judged.metrics["kl_calibrated"],
            "ece_calibrated": judged.metrics["ece_calibrated"],
            "auroc": auroc(doubt.loc[list(flipped)].to_numpy(), list(flipped.values())),
        }
        history = pd.read_csv(run.folder / "metrics.csv")
        evaluation = judged.evaluation if isinstance(judged.evaluation, Evaluation) else None
        runs.append(ComparedRun(title, history, evaluation))
    table = pd.DataFrame(rows).T
    heads = ["accuracy", "KL to the truth", "calibration error", "AUROC of flipped labels"]
    shown = [[name, *(float(v) for v in values)] for name, values in zip(table.index, table.to_numpy(), strict=True)]
    print_table(f"{given.flipped:.0%} of the training labels are wrong", ["method", *heads], shown)
    intro = INTRO.format(share=given.flipped, n_test=given.n_test)
    comparison_report(given.out / "report.html", "Learning from wrong labels", intro, table, runs)
    Run(given.out).write_table("results.csv", [{"method": n, **r} for n, r in rows.items()])
    print(f"report: {given.out / 'report.html'}")
    return 0


def noisy_faces(folder: Path, n_train: int, n_test: int, share: float, seed: int) -> tuple[Path, dict[str, bool]]:
    """Draw faces and flip labels of the training and validation splits.

    Returns:
        The manifest (true mixtures only in its test rows), and training path -> was it flipped.
    """
    import numpy as np
    import pandas as pd

    from kinesics.data.emotions import BASIC
    from kinesics.data.noise import flip_labels
    from kinesics.data.synthetic.faces import write_faces
    from kinesics.files import atomic_write

    table = pd.read_csv(write_faces(folder, n_train, n_train // 5, n_test, seed, **EASE))
    flipped: dict[str, bool] = {}
    for place, split in enumerate(("train", "valid")):
        rows = np.flatnonzero(table["split"] == split)
        number = np.array([BASIC.index(name) for name in table["label"].iloc[rows]])
        noisy, changed = flip_labels(number, share, len(BASIC), seed + place)
        table.loc[rows, "label"] = [BASIC[k] for k in noisy]
        if split == "train":
            flipped = dict(zip(table["path"].iloc[rows], map(bool, changed), strict=True))
    hidden = [name for name in table if str(name).startswith("p_")]
    table.loc[table["split"] != "test", hidden] = np.nan
    path = folder / "noisy.csv"
    with atomic_write(path, "w") as stream:
        table.to_csv(stream, index=False)
    return path, flipped
