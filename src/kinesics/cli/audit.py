"""kinesics audit: rank the training labels of a run by how likely they are wrong, and review them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kinesics.studies.audit.study import Audit

EPILOG = """Writes to --out, which is RUN/audit unless given: audit.csv (all training samples, the most doubtful first),
audit.json, and gallery.html (the first --top of them, on one page that needs nothing else).
--folds K trains the run's own recipe K more times, each time without one part of the samples, and goes on where it was
stopped; it costs about K trainings and finds more. --folds, --neighbours and --top are remembered: without them the
audit that lies in --out is done again as it was.
--review opens the page on this machine and saves each decision in decisions.csv beside the manifest at once.
kinesics data apply-review MANIFEST DECISIONS.csv OUT.csv writes the corrected manifest."""


BY_HEART = 0.98
"""Share of the given labels from which on a model that repeats them says little of them."""


def main(argv: Sequence[str]) -> int:
    """Run the verb."""
    from kinesics.cli.arguments import Parser

    parser = Parser(
        prog="kinesics audit",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, help="run directory of a classifier")
    parser.add_argument(
        "--data", metavar="MANIFEST", help="the manifest that the run was trained on, where it lies now"
    )
    parser.add_argument("--folds", type=int, metavar="K", help="parts of the cross-validation; 0 for none (0)")
    parser.add_argument("--neighbours", type=int, metavar="K", help="neighbours that are asked (20)")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where the results go (RUN/audit)")
    parser.add_argument("--top", type=int, metavar="N", help="samples on the page (300)")
    parser.add_argument(
        "--decisions",
        type=Path,
        metavar="FILE",
        help="decisions (decisions.csv beside the manifest; MANIFEST-decisions.csv in a second round)",
    )
    parser.add_argument(
        "--propose-decisions",
        type=int,
        metavar="N",
        help="write decisions that relabel the N most doubtful samples for which another label is proposed",
    )
    parser.add_argument(
        "--propose-above",
        type=float,
        metavar="T",
        help="write decisions that relabel all with a doubt of T or more for which another label is proposed",
    )
    parser.add_argument("--review", action="store_true", help="open the page on this machine and save decisions")
    parser.add_argument("--port", type=int, default=0, help="of the review; 0 takes a free one (0)")
    parser.add_argument("--device", help="auto, cpu, cuda or cuda:N (cpu for the answers, the run's own for the folds)")
    given = parser.parse_args(list(argv))
    _check(given)
    from kinesics.studies.audit.session import AuditSession

    session = AuditSession.open(
        given.run,
        data=given.data,
        out=given.out,
        decisions=given.decisions,
        folds=given.folds,
        neighbours=given.neighbours,
        top=given.top,
        device=given.device,
    )
    proposing = given.propose_decisions is not None or given.propose_above is not None
    if proposing:
        session.check_free()
    if given.review and session.done():
        print(f"{session.out} holds this audit already: shown as it is")
    else:
        _print(session.perform(), str(session.out))
    if proposing:
        count = session.propose(given.propose_decisions, given.propose_above)
        print(f"{session.decisions}: {count:,} relabels proposed")
    if given.review:
        from kinesics.studies.audit.server import serve

        serve(session.out, session.decisions, session.data, given.port)
    return 0


def _check(given: argparse.Namespace) -> None:
    """Refuse values out of range before anything is computed."""
    from kinesics.engine.config import require

    require(given.folds is None or given.folds == 0 or given.folds >= 2, "--folds", given.folds, "0, or 2 or more")
    require(given.neighbours is None or given.neighbours >= 1, "--neighbours", given.neighbours, "at least 1")
    require(given.top is None or given.top >= 1, "--top", given.top, "at least 1")
    require(0 <= given.port < 65536, "--port", given.port, "in [0, 65535]")
    count, doubt = given.propose_decisions, given.propose_above
    require(count is None or count >= 1, "--propose-decisions", count, "at least 1")
    require(doubt is None or 0 <= doubt <= 1, "--propose-above", doubt, "in [0, 1]")


def _print(found: Audit, out: str) -> None:
    """Counts, and the pairs of classes that are confused most."""
    from kinesics.cli.tables import print_table

    summary = found.summary()
    rows = [[p["label"], p["proposed"], p["samples"], p["mean_doubt"]] for p in summary["pairs"][:12]]
    print_table("labels in doubt (0.5 or more), by pair", ["label", "proposed", "samples", "mean doubt"], rows)
    print(
        f"{summary['samples']:,} training samples, {summary['expected_wrong']:,.0f} wrong labels expected, "
        f"{summary['in_doubt']:,} with a doubt of 0.5 or more"
    )
    if summary["expected_wrong"] > summary["samples"] / 2:
        print(
            "more than half of all labels in doubt: rather a model that knows too little of these data than so many "
            "wrong labels; go by the order alone, or train longer"
        )
    if found.evidence.folds is None and summary["repeated"] > BY_HEART:
        print(
            f"the run answers {summary['repeated']:.1%} of its training samples with their given label: it knows them "
            "by heart and doubts few; --folds asks models that have not seen the label"
        )
    page = Path(out) / "gallery.html"
    print(f"{Path(out) / 'audit.csv'}, {page} ({page.stat().st_size / 1e6:.1f} MB)")
