"""kinesics data: make a manifest from a published layout (convert), see what is wrong with one (check)
and what is in it (stats), correct its labels by what a review decided (apply-review)."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

LAYOUTS = (
    "image-folder", "csv", "fer2013", "ferplus", "rafdb", "affectnet", "sfew", "ldlva-csv",
    "udacity-sim", "udacity-ch2", "udacity-sessions", "donkeycar", "fadnet-npz",
)  # fmt: skip
"""Listed here too, so that --help needs no data library; a test holds it to the layouts there are."""

ORDERS = ("fer2013", "ferplus", "rafdb", "affectnet", "sfew")


def main(argv: Sequence[str]) -> int:
    """Run `convert`, `check`, `stats` or `apply-review`.

    Returns:
        0 done; 1 (check) training on this manifest would be unsound.

    Raises:
        UserError: bad input; the command line turns it into exit code 2.
    """
    given = vars(_parser().parse_args(list(argv)))
    return int(given.pop("run")(**given))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kinesics data", description=__doc__)
    verbs = parser.add_subparsers(required=True, metavar="{convert,check,stats,apply-review}")
    convert = verbs.add_parser(
        "convert",
        help="make a manifest from a published layout",
        description="Make a manifest (CSV or Parquet) from a data set as it is distributed.",
        argument_default=argparse.SUPPRESS,
    )
    convert.set_defaults(run=_convert)
    convert.add_argument("--layout", required=True, choices=LAYOUTS, help="how the data set is laid out")
    convert.add_argument("source", metavar="SRC", help="its folder or file")
    convert.add_argument("out", metavar="OUT.csv", help="the manifest to write (.csv or .parquet)")
    convert.add_argument(
        "--valid-fraction", type=float, metavar="F", help="share of train to make a validation split of (0)"
    )
    convert.add_argument("--seed", type=int, metavar="N", help="of that choice (0)")
    own = convert.add_argument_group("options of some layouts")
    own.add_argument(
        "--labels",
        metavar="WHICH",
        help="ferplus: majority (default), fer2013, the original, or published, as its paper has them",
    )
    own.add_argument("--val-as", metavar="SPLIT", help="affectnet (test), sfew (valid): split of the set's val")
    own.add_argument("--images", metavar="KIND", help="rafdb: auto (default), aligned or original")
    own.add_argument("--split", metavar="SPLIT", help="ldlva-csv: the split of its rows (train)")
    own.add_argument("--order", choices=ORDERS, help="csv, ldlva-csv: the set whose class numbers are used")
    own.add_argument("--root", metavar="DIR", help="csv, ldlva-csv: folder of the images (the CSV's)")
    own.add_argument("--cameras", metavar="WHICH", help="udacity-sim, udacity-ch2: center (default) or all")
    own.add_argument("--correction", type=float, metavar="S", help="udacity-sim: steering added to side views (0.2)")
    own.add_argument("--block", type=int, metavar="N", help="driving: consecutive frames that make a group (100)")
    own.add_argument("--test-fraction", type=float, metavar="F", help="udacity-sessions: last share of each (0.2)")
    for name in ("path", "label", "split", "target", "valence", "arousal", "group"):
        own.add_argument(f"--{name}-column", metavar="NAME", help=f"csv: the column that is `{name}` ({name})")
    check = verbs.add_parser(
        "check",
        help="say what is wrong with a manifest",
        description="Look for what would make training unsound; exit code 1 where anything would.",
    )
    check.set_defaults(run=_check)
    check.add_argument("manifest", metavar="MANIFEST", help="CSV or Parquet")
    check.add_argument("--json", action="store_true", dest="as_json", help="print the findings as JSON")
    check.add_argument("--no-images", action="store_true", help="do not decode images: quick, finds less")
    stats = verbs.add_parser(
        "stats",
        help="count what is in a manifest",
        description="Samples by silo and split, and the classes or the mean and deviation of the targets.",
    )
    stats.set_defaults(run=_stats)
    stats.add_argument("manifest", metavar="MANIFEST", help="CSV or Parquet")
    stats.add_argument("--by", default="silo", metavar="COLUMN", help="column that makes the rows (silo)")
    stats.add_argument("--json", action="store_true", dest="as_json", help="print the numbers as JSON")
    review = verbs.add_parser(
        "apply-review",
        help="write the manifest as a review of its labels decided",
        description="Relabel and drop rows by decisions.csv (path, decision keep|drop|relabel, label). The label as it "
        "was before stays in the column label_before_review.",
    )
    review.set_defaults(run=_apply_review)
    review.add_argument("manifest", metavar="MANIFEST", help="the one that was audited")
    review.add_argument("decisions", metavar="DECISIONS.csv", help="what kinesics audit or its page wrote")
    review.add_argument("out", metavar="OUT.csv", help="the corrected manifest to write (.csv or .parquet)")
    review.add_argument(
        "--classes", metavar="NAMES", help="labels besides those of the manifest and the emotions, separated by commas"
    )
    review.add_argument(
        "--clear-votes", action="store_true", help="make the p_ columns of relabelled rows blank (they are kept)"
    )
    return parser


def _convert(layout: str, source: str, out: str, **options: Any) -> int:
    from kinesics.cli.tables import print_table
    from kinesics.data.layouts import convert
    from kinesics.data.manifest import SPLITS

    manifest = convert(layout, source, out, **options)
    split = manifest.column("split")
    label = manifest.labels()
    rows = [
        [name, *(int(((label == index) & (split == side)).sum()) for side in SPLITS)]
        for index, name in enumerate(manifest.classes)
    ]
    rows.append(["all rows", *(int((split == side).sum()) for side in SPLITS)])
    print_table(f"{out}: {len(manifest):,} rows", ["class", *SPLITS], rows)
    print(f"next: kinesics data check {out}")
    return 0


def _check(manifest: str, as_json: bool, no_images: bool) -> int:
    from kinesics.cli.tables import print_table
    from kinesics.data.check import check_manifest
    from kinesics.data.manifest import read
    from kinesics.data.tables import at_lines

    rows = read(manifest)
    findings = check_manifest(rows, images=not no_images)
    errors = sum(found.level == "error" for found in findings)
    if as_json:
        listed = [{"level": f.level, "code": f.code, "message": f.message, "lines": list(f.lines)} for f in findings]
        print(json.dumps(listed, indent=1))
        return 1 if errors else 0
    if findings:
        print_table(
            f"{manifest}: {len(rows):,} rows",
            ["level", "code", "message", "where"],
            [[f.level, f.code, f.message, at_lines(f.lines) if f.lines else ""] for f in findings],
        )
    if errors:
        print(f"unsound: {errors} error{'s' if errors > 1 else ''}")
        return 1
    print("sound" if findings else f"{manifest}: {len(rows):,} rows, nothing found; sound")
    return 0


def _stats(manifest: str, by: str, as_json: bool) -> int:
    from kinesics.cli.tables import print_table
    from kinesics.data.manifest import read
    from kinesics.data.stats import manifest_stats

    table = manifest_stats(read(manifest), by)
    if as_json:
        print(table.to_json(orient="records", indent=1))
        return 0
    print_table(manifest, [str(name) for name in table.columns], table.to_numpy().tolist())
    if len(table) > 2:
        samples = table["samples"].iloc[:-1]
        print(f"{len(samples)} of {by}: {samples.mean():,.0f} samples each on average")
    return 0


def _apply_review(manifest: str, decisions: str, out: str, classes: str | None, clear_votes: bool) -> int:
    from pathlib import Path

    from kinesics.data.manifest import read
    from kinesics.data.reading import as_class
    from kinesics.errors import UserError
    from kinesics.studies.audit.decisions import known_labels, read_decisions
    from kinesics.studies.audit.review import apply_decisions

    for given, what in ((manifest, "the manifest itself"), (decisions, "the file of decisions, which would be lost")):
        if Path(out).resolve() == Path(given).resolve():
            raise UserError(f"{out} is {what}", hint="write the corrected one beside it, under another name")
    rows = read(manifest)
    source = Path(decisions)
    known = known_labels(rows.classes, [as_class(name) for name in (classes or "").split(",") if name.strip()])
    done = apply_decisions(rows, read_decisions(source, known), source, clear_votes)
    done.manifest.write(out)
    print(
        f"{out}: {len(done.manifest):,} of {len(rows):,} rows; {done.relabelled:,} relabelled, "
        f"{done.kept:,} kept as they were, {done.dropped:,} dropped"
    )
    if done.votes_against:
        print(
            f"{done.votes_against:,} relabelled rows have p_ columns in which another class leads; they were kept, and "
            "what learns p_ columns goes by them (--clear-votes makes them blank)"
        )
    if done.votes_cleared:
        print(f"the p_ columns of {done.votes_cleared:,} relabelled rows were made blank")
    return 0
