"""kinesics predict: answer for cropped faces or views of a road, as a table, CSV or JSON lines."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kinesics.cli.arguments import Parser

if TYPE_CHECKING:
    from kinesics.inference.predictor import Predictor

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")


def main(argv: Sequence[str]) -> int:
    """Run the verb."""
    parser = Parser(prog="kinesics predict", description=__doc__)
    parser.add_argument("run", help="run directory or the name of a shipped model")
    parser.add_argument("images", nargs="+", help="image files, or folders of them")
    parser.add_argument("--format", default="table", choices=("table", "csv", "jsonl"))
    parser.add_argument("--out", type=Path, help="write there instead of printing")
    parser.add_argument(
        "--support", type=Path, metavar="FOLDER", help="steering: write pictures there that show which pixels steer"
    )
    parser.add_argument("--last", action="store_true", help="use the last epoch's weights instead of the kept ones")
    parser.add_argument("--on-bad-image", default="error", choices=("error", "skip"))
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args(list(argv))
    from kinesics.engine.prediction import Prediction, to_frame
    from kinesics.errors import UserError
    from kinesics.files import atomic_write
    from kinesics.inference.predictor import load
    from kinesics.progress import log

    files = _files(given.images)
    predictor = load(given.run, last=given.last, device=given.device)
    found: list[Prediction] = []
    for start in range(0, len(files), 256):
        part: list[Path] = files[start : start + 256]
        try:
            found += predictor([str(path) for path in part])
        except UserError:
            if given.on_bad_image == "error":
                raise
            for path in part:
                try:
                    found += predictor(str(path))
                except UserError as error:
                    log.warning("left out: %s", error.message)
    if given.support is not None:
        _write_support(predictor, [prediction.source for prediction in found], given.support)
    if not found:
        raise UserError(f"none of the {len(files)} images could be read")
    if given.format == "table" and given.out is None:
        _print(found)
        return 0
    frame = to_frame(found)
    if given.format == "jsonl":
        text = "".join(json.dumps(prediction.to_dict()) + "\n" for prediction in found)
    else:
        text = frame.to_csv(index=False, quoting=csv.QUOTE_MINIMAL, lineterminator="\n")
    if given.out is None:
        sys.stdout.write(text)
    else:
        with atomic_write(given.out, "w") as stream:
            stream.write(text)
    return 0


def _write_support(predictor: Predictor, files: Sequence[str], folder: Path) -> None:
    """A picture of the support maps for each file; files of the same name get numbers."""
    import io

    from kinesics.files import atomic_write
    from kinesics.inference.support import support_of

    taken: set[str] = set()
    for file in files:
        stem, number = Path(file).stem, 1
        while stem in taken:
            stem, number = f"{Path(file).stem}-{number}", number + 1
        taken.add(stem)
        buffer = io.BytesIO()
        support_of(predictor, file).draw().save(buffer, "PNG")
        with atomic_write(folder / f"{stem}.png") as stream:
            stream.write(buffer.getvalue())


def _files(words: Sequence[str]) -> list[Path]:
    """Files as given; folders by their image files, sorted."""
    from kinesics.errors import UserError

    found: list[Path] = []
    for word in words:
        path = Path(word)
        if path.is_dir():
            inside = sorted(item for item in path.rglob("*") if item.suffix.lower() in SUFFIXES)
            if not inside:
                raise UserError(f"{path} holds no image files ({', '.join(SUFFIXES)})")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise UserError(f"{path}: there is no such file or folder")
    return found


def _print(found: Sequence[object]) -> None:
    from kinesics.cli.tables import print_table

    rows = []
    for prediction in found:
        answer = prediction.to_dict()  # type: ignore[attr-defined]
        ranked = sorted(answer.pop("distribution", {}).items(), key=lambda item: -item[1])
        shares = "  ".join(f"{name} {share:.0%}" for name, share in ranked[:3])
        row = {"image": answer.pop("source"), **answer}
        if shares:
            row["distribution"] = shares
        rows.append(row)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    print_table("", columns, [[row.get(key, "") for key in columns] for row in rows])
