"""List the training labels that a finished run doubts most, and show the list is useful on faces with known truth.

python examples/find_wrong_labels.py RUN --top 50      # of a run of yours: writes RUN/suspects.csv
python examples/find_wrong_labels.py                   # draws faces, flips 20 % of the labels, trains, lists
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

import kinesics
from kinesics.data.emotions import BASIC
from kinesics.data.noise import flip_labels
from kinesics.data.synthetic.faces import write_faces


def suspects(run: Path, top: int) -> pd.DataFrame:
    """The `top` most doubted samples: path, label, label_doubt and, of LDLVA, what the neighbours would rather say."""
    samples = pd.read_csv(run / "samples.csv")
    worst = samples.nlargest(top, "label_doubt").reset_index(drop=True)
    targets = [name for name in samples if name.startswith("target_")]
    found = worst[["path", "label", "label_doubt"]].copy()
    if targets:
        names = np.array([name.removeprefix("target_") for name in targets])
        share = worst[targets].to_numpy()
        share[names[None, :] == worst["label"].to_numpy()[:, None]] = -1
        found["rather"] = names[share.argmax(axis=1)]
    return found


def train_on_flipped(out: Path, n_train: int, epochs: int) -> tuple[Path, pd.Series]:
    """A run on drawn faces of which 20 % carry a wrong label, and path -> is its label wrong."""
    manifest = write_faces(out / "faces", n_train, n_train // 5, 0, seed=0)
    table = pd.read_csv(manifest)
    train = (table["split"] == "train").to_numpy()
    number = np.array([BASIC.index(name) for name in table.loc[train, "label"]])
    noisy, wrong = flip_labels(number, 0.2, len(BASIC), seed=0)
    table.loc[train, "label"] = [BASIC[k] for k in noisy]
    # Only the flipped label may teach: the true mixtures and the valence-arousal that follows from them go out.
    hidden = [name for name in table if name.startswith("p_")] + ["valence", "arousal"]
    table.drop(columns=hidden).to_csv(out / "faces" / "noisy.csv", index=False)
    run = kinesics.train("ldlva", data=out / "faces" / "noisy.csv", out=out / "run", fit__epochs=epochs)
    return run.folder, pd.Series(wrong, index=table.loc[train, "path"])


def main() -> None:
    """List suspects of the run given, or of one trained here."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", help="finished run directory")
    parser.add_argument("--top", type=int, default=50)
    parser.add_argument(
        "--out", type=Path, default=Path("runs/wrong-labels"), help="where to draw and train, if needed"
    )
    parser.add_argument("--n-train", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=8)
    given = parser.parse_args()
    run, wrong = (given.run, None) if given.run else train_on_flipped(given.out, given.n_train, given.epochs)
    found = suspects(run, given.top)
    if wrong is not None:
        found["is_wrong"] = wrong.loc[found["path"]].to_numpy()
        share, chance = found["is_wrong"].mean(), wrong.mean()
        print(f"{share:.0%} of the {len(found)} most doubted labels are wrong; of all labels it is {chance:.0%}")
    found.to_csv(run / "suspects.csv", index=False)
    print(found.head(10).to_string(), f"\n{run / 'suspects.csv'}")


if __name__ == "__main__":
    main()
