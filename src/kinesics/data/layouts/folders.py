"""Layouts in which a class is a folder: image folders of any data set, and SFEW."""

from __future__ import annotations

from pathlib import Path

from kinesics.data.emotions import ORDERS, canonical
from kinesics.data.layouts.rows import SPLIT_NAMES, Rows, choice, folders_in, images_in, wrong_tree
from kinesics.errors import UserError

FOLDER_TREE = """
SRC/train/happiness/001.png   (and SRC/valid/..., SRC/test/...), or
SRC/happiness/001.png"""

SFEW_TREE = """
SRC/Train/Angry/xyz.png
SRC/Val/Angry/xyz.png
SRC/Test/Angry/xyz.png   (where its labels are known)"""


def image_folder(source: Path, out: Path) -> Rows:
    """SRC/[train|valid|val|test]/CLASS/*.png, jpg, ... or, all of it training data, SRC/CLASS/*.

    Class folders may hold folders. Emotion names in any known spelling become the vocabulary's; others are
    kept.
    """
    if not source.is_dir() or not folders_in(source):
        raise wrong_tree("image-folder", [source / "CLASS", source / "train" / "CLASS"], FOLDER_TREE)
    rows = Rows({"path": [], "label": [], "split": []})
    tops = folders_in(source)
    sides = [top for top in tops if top.name.lower() in SPLIT_NAMES and folders_in(top)]
    if not sides:
        _add_classes(rows, source, "train")
        return rows
    for top in tops:
        if top not in sides:
            raise UserError(
                f"layout image-folder: {top} is not a split with class folders, as {sides[0]} is",
                hint=f"a right tree: {FOLDER_TREE}".replace("\n", "\n    "),
            )
    for top in sides:
        _add_classes(rows, top, SPLIT_NAMES[top.name.lower()])
    return rows


def sfew(source: Path, out: Path, *, val_as: str = "valid") -> Rows:
    """SRC/{Train,Val,Test}/CLASS/*.png of SFEW 2.0.

    Args:
        val_as: the split that Val becomes, valid or test. The set's own test labels were never published;
            papers report on Val, and who does so too needs a validation split made out of train
            (--valid-fraction).
    """
    choice("val-as", val_as, ("valid", "test"))
    rows = Rows({"path": [], "label": [], "split": []})
    sides = [top for top in folders_in(source) if top.name.lower() in SPLIT_NAMES] if source.is_dir() else []
    if not sides:
        raise wrong_tree("sfew", [source / "Train", source / "Val"], SFEW_TREE)
    for top in sides:
        split = SPLIT_NAMES[top.name.lower()]
        for folder in folders_in(top):
            if canonical(folder.name) not in ORDERS["sfew"].values():
                raise UserError(
                    f"layout sfew: {folder} is not a class of SFEW: {', '.join(ORDERS['sfew'].values())}",
                    hint=f"a right tree: {SFEW_TREE}".replace("\n", "\n    "),
                )
        loose = sum(1 for path in top.iterdir() if path.is_file() and not path.name.startswith("."))
        if loose:
            rows.left_out[f"files of {top.name} outside of a class folder"] = loose
        _add_classes(rows, top, val_as if split == "valid" else split)
    return rows


def _add_classes(rows: Rows, top: Path, split: str) -> None:
    for folder in folders_in(top):
        for path in images_in(folder, rows.left_out):
            rows.columns["path"].append(path)
            rows.columns["label"].append(folder.name)
            rows.columns["split"].append(split)
