"""Turn the FER+ sheets (32 x 32 tiles of 48 x 48 grey) and labels.csv into PNG files and kinesics manifests.

    python benchmarks/ferplus_manifest.py SHEETS OUT

writes OUT/images/*.png and OUT/all.csv: one row an image whose majority of ten votes is one of seven emotions (ties go
to the first in FER+ order; contempt, unknown and not-a-face majorities are left out), with the votes in p_ columns,
`label` the majority, `fer2013` the original single label. Test images that occur in Training or PublicTest, identical
or near-identical (kinesics' own finder), and PublicTest images that occur in Training, are dropped. `write_condition`
makes the noisy manifests of the benchmark.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from kinesics.data.duplicates import find_duplicates
from kinesics.data.emotions import BASIC, number_to_name
from kinesics.data.noise import flip_labels

TILE = 48
SPLITS = {"Training": "train", "PublicTest": "valid", "PrivateTest": "test"}


def read_table(sheets: Path) -> pd.DataFrame:
    """The rows that the benchmark uses, with columns index, path, label, p_*, split, fer2013."""
    table = pd.read_csv(sheets / "labels.csv")
    votes = table[[name for name in table if name.startswith("v_")]]
    majority = votes.columns[votes.to_numpy().argmax(1)].str.removeprefix("v_")
    keep = pd.Series(majority.isin(BASIC)) & (table["fer2013_label"] >= 0)
    group = pd.Series(find_duplicates(read_images(sheets, len(table))).near, index=table.index)
    for later, earlier in (("PublicTest", ["Training"]), ("PrivateTest", ["Training", "PublicTest"])):
        seen = set(group[table["usage"].isin(earlier)]) - {-1}
        keep &= ~((table["usage"] == later) & group.isin(seen))
    table, majority = table[keep], majority[keep]
    found = pd.DataFrame({"index": table["index"], "path": [f"images/{i:05d}.png" for i in table["index"]]})
    found["label"] = np.asarray(majority)
    found["split"] = table["usage"].map(SPLITS)
    found["fer2013"] = [number_to_name("fer2013", int(k)) for k in table["fer2013_label"]]
    for name in BASIC:
        found[f"p_{name}"] = table[f"v_{name}"]
    return found.reset_index(drop=True)


def read_images(sheets: Path, count: int) -> np.ndarray:
    """(count, 48, 48) uint8: image k is tile k % 1024 of sheet k // 1024, tiles row by row."""
    tiles = []
    for path in sorted(sheets.glob("sheet_*.png")):
        sheet = np.asarray(Image.open(path))
        rows, columns = sheet.shape[0] // TILE, sheet.shape[1] // TILE
        tiles.append(sheet.reshape(rows, TILE, columns, TILE).swapaxes(1, 2).reshape(-1, TILE, TILE))
    return np.concatenate(tiles)[:count]


def write_images(sheets: Path, out: Path, indices: list[int]) -> None:
    """One PNG an image."""
    (out / "images").mkdir(parents=True, exist_ok=True)
    images = read_images(sheets, max(indices) + 1)
    for index in indices:
        target = out / "images" / f"{index:05d}.png"
        if not target.exists():
            Image.fromarray(images[index]).save(target)


def write_condition(table: pd.DataFrame, out: Path, condition: str, seed: int, n_train: int) -> Path:
    """A manifest in which training and validation labels carry the noise; test keeps majority and votes.

    Args:
        table: from `read_table`.
        out: folder that holds images/.
        condition: "natural" (FER2013 labels), "clean" (majority) or "flipK" (K % symmetric flips).
        seed: chooses the training subset and the flips.
        n_train: training images; 0 for all.
    """
    rng = np.random.default_rng([seed, 11])
    train = np.flatnonzero(table["split"] == "train")
    chosen = rng.permutation(train)[: n_train or len(train)]
    rows = np.sort(np.concatenate([chosen, np.flatnonzero(table["split"] != "train")]))
    part = table.iloc[rows].reset_index(drop=True)
    part["majority"] = part["label"]
    noisy = (part["split"] != "test").to_numpy()
    if condition == "natural":
        part.loc[noisy, "label"] = part.loc[noisy, "fer2013"]
    elif condition.startswith("flip"):
        share = int(condition.removeprefix("flip")) / 100
        for split in ("train", "valid"):
            place = (part["split"] == split).to_numpy()
            number = part.loc[place, "label"].map(BASIC.index).to_numpy()
            flipped, _ = flip_labels(number, share, len(BASIC), seed * 2 + (split == "valid"))
            part.loc[place, "label"] = [BASIC[k] for k in flipped]
    path = out / f"{condition}-{seed}-{n_train or 'all'}.csv"
    part.drop(columns=["index"]).to_csv(path, index=False)
    return path


def main() -> None:
    """Write the images and the whole manifest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sheets", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    table = read_table(given.sheets)
    write_images(given.sheets, given.out, table["index"].tolist())
    table.drop(columns=["index"]).to_csv(given.out / "all.csv", index=False)
    agreement = (table["label"] == table["fer2013"]).groupby(table["split"]).mean()
    print(table["split"].value_counts().to_dict(), "FER2013 label = majority:", agreement.round(4).to_dict())


if __name__ == "__main__":
    main()
