"""RAF-DB, single-label part (S. Li, W. Deng, J. Du, "Reliable Crowdsourcing and Deep Locality-Preserving
Learning for
Expression Recognition in the Wild", CVPR 2017)."""

from __future__ import annotations

from pathlib import Path

from kinesics.data.emotions import ORDERS, number_to_name
from kinesics.data.layouts.rows import Rows, choice, first_there, wrong_tree
from kinesics.data.tables import SHOWN, at_lines, whole_number
from kinesics.errors import UserError

TREE = """
SRC/EmoLabel/list_patition_label.txt        (lines such as: train_00001.jpg 5)
SRC/Image/aligned/train_00001_aligned.jpg   (or SRC/aligned/...)
SRC/Image/original/train_00001.jpg          (or SRC/original/..., with --images original)"""


def rafdb(source: Path, out: Path, *, images: str = "auto") -> Rows:
    """SRC/EmoLabel/list_patition_label.txt (so spelt; list_partition_label.txt and SRC itself are also
    tried), and images.

    Args:
        images: aligned (100 x 100 pixels), original, or auto: aligned where they are there.
    """
    choice("images", images, ("auto", "aligned", "original"))
    names = ("list_patition_label.txt", "list_partition_label.txt")
    places = [folder / name for folder in (source / "EmoLabel", source) for name in names]
    listing = first_there("rafdb", places, TREE)
    kinds = ("aligned", "original") if images == "auto" else (images,)
    folders = [folder / kind for kind in kinds for folder in (source / "Image", source)]
    folder = next((place for place in folders if place.is_dir()), None)
    if folder is None:
        raise wrong_tree("rafdb", folders, TREE)
    lines: list[int] = []
    rows = Rows({"path": [], "label": [], "split": []}, source=listing, lines=lines)
    bad: list[int] = []
    missing: list[str] = []
    for line, text in enumerate(_text(listing).splitlines(), start=1):
        words = text.split()
        if not words:
            continue
        name, number = words[0], whole_number(words[-1])
        split = name.split("_")[0]
        if (
            len(words) != 2
            or Path(name).name != name
            or split not in ("train", "test")
            or number not in ORDERS["rafdb"]
        ):
            bad.append(line)
            continue
        stem = Path(name).stem
        path = folder / (f"{stem}_aligned.jpg" if folder.name == "aligned" else name)
        if not path.is_file():
            missing.append(f"line {line}: {path}")
        for column, value in (
            ("path", path),
            ("label", number_to_name("rafdb", int(number))),
            ("split", split),
        ):
            rows.columns[column].append(value)
        lines.append(line)
    if bad:
        raise UserError(
            f"{listing}: {at_lines(bad)}: not a name with train_ or test_ in front and a number from 1 to 7",
            hint="a right line: train_00001.jpg 5",
        )
    if missing:
        shown = "\n  ".join(missing[:SHOWN])
        raise UserError(f"{len(missing)} images of {listing} are not there:\n  {shown}", hint=f"a right tree: {TREE}")
    return rows


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text", hint="is it the list of labels?") from error
    except OSError as error:
        raise UserError(f"can't read {path}: {error.strerror}") from error
