"""AffectNet (A. Mollahosseini, B. Hasani, M. H. Mahoor, "AffectNet: A Database for Facial Expression,
Valence, and Arousal
Computing in the Wild", IEEE Transactions on Affective Computing 10, 2019), as distributed since 2021."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kinesics.data.blocks import in_blocks
from kinesics.data.emotions import ORDERS, number_to_name
from kinesics.data.layouts.rows import IMAGE_SUFFIXES, Rows, choice, wrong_tree
from kinesics.data.tables import SHOWN
from kinesics.errors import UserError

TREE = """
SRC/train_set/images/0.jpg
SRC/train_set/annotations/0_exp.npy, 0_val.npy, 0_aro.npy
SRC/val_set/images/..., SRC/val_set/annotations/..."""

_MISSING = -2.0
"""Stands for no valence and no arousal in AffectNet."""


def affectnet(source: Path, out: Path, *, val_as: str = "test") -> Rows:
    """SRC/{train_set,val_set}/images/ID.jpg with annotations/ID_exp.npy, ID_val.npy and ID_aro.npy (scalars
    or texts).

    The annotated validation set becomes split test: AffectNet's test labels were never published, papers
    report on val_set, and training takes its own validation rows from train. Expressions from 8 on (none,
    uncertain, no face) are left out; valence and arousal of -2 are blank. The column `affectnet_id` keeps the
    image's number.

    Args:
        val_as: test, or valid to select models on it.
    """
    choice("val-as", val_as, ("test", "valid"))
    sides = [(source / name, split) for name, split in (("train_set", "train"), ("val_set", val_as))]
    there = [(folder, split) for folder, split in sides if (folder / "images").is_dir()]
    if not there:
        raise wrong_tree("affectnet", [folder / "images" for folder, _ in sides], TREE)
    names = ("path", "label", "valence", "arousal", "affectnet_id", "split")
    rows = Rows({name: [] for name in names})
    for folder, split in there:
        _add(rows, folder, split)
    return rows


def _add(rows: Rows, folder: Path, split: str) -> None:
    if not (folder / "annotations").is_dir():
        raise wrong_tree("affectnet", [folder / "annotations"], TREE)
    images = [path for path in (folder / "images").iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
    images.sort(key=lambda path: (len(path.stem), path.stem))

    def annotations(part: slice) -> list[tuple[float | str, ...]]:
        return [_annotation(folder / "annotations", path.stem) for path in images[part]]

    bad: list[str] = []
    for part, block in in_blocks(annotations, len(images), 256, f"reading annotations of {folder.name}"):
        for path, found in zip(images[part], block, strict=True):
            expression, valence, arousal = found
            wrong = [value for value in found if isinstance(value, str)]
            if wrong or isinstance(expression, str):
                bad.append(wrong[0])
            elif expression != int(expression) or expression < 0:
                bad.append(f"{path.stem}_exp.npy holds {expression}")
            elif int(expression) not in ORDERS["affectnet"]:
                reason = "images of expression 8 or more (none, uncertain, no face)"
                rows.left_out[reason] = rows.left_out.get(reason, 0) + 1
            else:
                label = number_to_name("affectnet", int(expression))
                values = (path, label, *_known(valence, arousal), path.stem, split)
                for column, value in zip(rows.columns.values(), values, strict=True):
                    column.append(value)
    if bad:
        shown = "\n  ".join(bad[:SHOWN])
        raise UserError(
            f"{folder / 'annotations'}: {len(bad)} of {len(images)} annotations can't be used:\n  {shown}",
            hint=f"a right tree: {TREE}".replace("\n", "\n    "),
        )


def _known(valence: float | str, arousal: float | str) -> tuple[object, object]:
    """Valence and arousal, both blank where either is missing."""
    if _MISSING in (valence, arousal) or valence != valence or arousal != arousal:
        return "", ""
    return valence, arousal


def _annotation(folder: Path, stem: str) -> tuple[float | str, float | str, float | str]:
    """Expression, valence and arousal; in place of one that can't be read, a text that says why; NaN if not
    there."""
    expression = _scalar(folder / f"{stem}_exp.npy")
    if expression != expression:
        expression = f"{stem}_exp.npy is not there"
    return expression, _scalar(folder / f"{stem}_val.npy"), _scalar(folder / f"{stem}_aro.npy")


def _scalar(path: Path) -> float | str:
    try:
        array = np.load(path, allow_pickle=False)
        value = float(array.item())
    except FileNotFoundError:
        return float("nan")
    except (OSError, ValueError, TypeError, AttributeError, EOFError, SyntaxError) as error:
        return f"{path.name} is not a number saved by NumPy ({type(error).__name__})"
    return value if np.isfinite(value) else f"{path.name} holds {value}"
