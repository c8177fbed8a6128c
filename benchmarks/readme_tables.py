"""Write the README's tables of measured numbers out of the CSV files beside this script.

    python benchmarks/readme_tables.py            # rewrites README.md
    python benchmarks/readme_tables.py --check    # exit code 1 where README.md is not what the CSV files say

A table stands between `<!-- table:NAME -->` and `<!-- /table:NAME -->`; NAME is that of a CSV file here. Without that
file the place between the markers is empty. Numbers are mean ± standard error over seeds (standard deviation with
N - 1, divided by the root of N); a single seed has no error.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from kinesics.files import atomic_write

HERE = Path(__file__).resolve().parent
CONDITIONS = {
    "natural": "original FER2013 labels",
    "flip30": "majority, 30 % flipped",
    "clean": "majority",
}
METHODS = {
    "cross_entropy": "cross-entropy",
    "smoothed": "smoothed (0.1)",
    "ldlva": "LDLVA",
    "ldlva_forward": "LDLVA, forward",
    "ldlva_votes": "LDLVA, told valence-arousal",
}
STEPS = {"bank": "LDLVA, bank", "forward": "LDLVA, forward"}


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> str:
    """A Markdown table; the first `left` columns are text, the others numbers, right-aligned."""
    rule = ["---" if place < left else "---:" for place in range(len(heads))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (heads, rule, *rows))


def mean_and_error(values: pd.Series, digits: int, factor: float = 1.0) -> str:
    """ "71.2 ± 0.4"; without the error for one value, an en dash for none."""
    known = values.dropna() * factor
    if not len(known):
        return "–"
    text = f"{known.mean():.{digits}f}"
    return text if len(known) < 2 else f"{text} ± {known.sem():.{digits}f}"


def ferplus_noise(table: pd.DataFrame) -> str:
    """Accuracy, KL and AUROC by condition, schedule and method."""
    shown = (
        ("accuracy_selected", 1, 100.0, "accuracy, selected"),
        ("accuracy_last", 1, 100.0, "last epoch"),
        ("kl_selected", 3, 1.0, "KL, selected"),
        ("kl_last", 3, 1.0, "last epoch"),
        ("ece_selected", 1, 100.0, "ECE, selected"),
        ("auroc_label_doubt", 3, 1.0, "AUROC of doubt"),
        ("auroc_uncertainty", 3, 1.0, "AUROC of λ"),
    )
    heads = ["training labels", "epochs", "method", *(head for *_, head in shown), "seeds"]
    rows = []
    for condition, title in CONDITIONS.items():
        for epochs in sorted(table["epochs"].unique()):
            for method, name in METHODS.items():
                cell = table[
                    (table["condition"] == condition) & (table["epochs"] == epochs) & (table["method"] == method)
                ]
                if len(cell):
                    numbers = [mean_and_error(cell[column], digits, factor) for column, digits, factor, _ in shown]
                    rows.append([title, str(epochs), name, *numbers, str(cell["seed"].nunique())])
    images = " to ".join(f"{n:,}" for n in sorted({table["n_train"].min(), table["n_train"].max()}))
    caption = (
        f"FER+, seven classes, {images} training images, compact net from scratch, judged on PrivateTest against the "
        "majority of ten votes (accuracy, %) and the votes (mean KL in nats after each run's own temperature, fitted "
        "on noisy validation labels; ECE in %, likewise). Selected: the epoch that is best on noisy validation labels. "
        "AUROC: how well the doubt about each training label, or λ, finds training labels that differ from the "
        "majority. Mean ± standard error over seeds. Made by `benchmarks/ferplus_noise.py`."
    )
    return f"{caption}\n\n{markdown(heads, rows, 3)}"


def step_cost(table: pd.DataFrame) -> str:
    """Cost of an LDLVA step relative to a plain one."""
    rows = []
    keys = ["backbone", "pixels", "batch", "precision"]
    for (backbone, pixels, batch, precision), part in table.groupby(keys, sort=False):
        by_step = part.set_index("step")
        ratios = [
            f"{row['ratio_to_plain']:.2f} ({row['ratio_min']:.2f} to {row['ratio_max']:.2f})"
            for row in (by_step.loc[step] for step in STEPS)
        ]
        plain, share = by_step.loc["plain", "ms_per_step"], by_step.loc[["plain", "bank"], "data_share"].max()
        rows.append(
            [f"{backbone}, {pixels} px", str(batch), str(precision), f"{plain:.0f}", *ratios, f"{100 * share:.1f}"]
        )
    heads = ["network", "batch", "precision", "plain step, ms", *STEPS.values(), "data, % of a step"]
    caption = (
        "Cost of a training step relative to a plain cross-entropy step in the same rounds, one thread: median and "
        "range. Made by `benchmarks/step_cost.py`."
    )
    return f"{caption}\n\n{markdown(heads, rows, 3)}"


def memory(table: pd.DataFrame) -> str:
    """Resident memory by stage."""
    rows = [
        [str(row["stage"]), f"{row['seconds']:.1f}", f"{row['anonymous_mib']:,.0f}", f"{row['file_backed_mib']:,.0f}"]
        for _, row in table.iterrows()
    ]
    first = table.iloc[0]
    caption = (
        f"Resident memory after each stage of a training on {first['images']:,} images of {first['pixels']} x "
        f"{first['pixels']} px, MiB; what is file-backed the system can drop at any time. Made by "
        "`benchmarks/memory.py` with a made-up manifest."
    )
    return f"{caption}\n\n{markdown(['stage', 'seconds', 'memory', 'file-backed'], rows, 1)}"


TABLES: dict[str, Callable[[pd.DataFrame], str]] = {
    "ferplus_noise": ferplus_noise,
    "step_cost": step_cost,
    "memory": memory,
}


def render(readme: str, folder: Path) -> str:
    """The text of README.md with every table written anew from the CSV files in `folder`."""

    def between(found: re.Match[str]) -> str:
        name = found["name"]
        if name not in TABLES:
            sys.exit(f"README.md has a marker for table {name!r}; known: {', '.join(TABLES)}")
        source = folder / f"{name}.csv"
        rows = pd.read_csv(source) if source.is_file() else pd.DataFrame()
        text = f"\n{TABLES[name](rows)}\n\n" if len(rows) else ""
        return f"<!-- table:{name} -->\n{text}<!-- /table:{name} -->"

    return re.sub(r"<!-- table:(?P<name>\w+) -->.*?<!-- /table:(?P=name) -->", between, readme, flags=re.DOTALL)


def main() -> int:
    """Write or check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 where README.md is stale")
    parser.add_argument("--readme", type=Path, default=HERE.parent / "README.md")
    parser.add_argument("--folder", type=Path, default=HERE, help="where the CSV files are")
    given = parser.parse_args()
    before = given.readme.read_text(encoding="utf-8")
    after = render(before, given.folder)
    if given.check:
        if before != after:
            print(
                f"{given.readme} is not what {given.folder} says: python benchmarks/readme_tables.py", file=sys.stderr
            )
        return int(before != after)
    if before != after:
        with atomic_write(given.readme, "w") as stream:
            stream.write(after)
    return 0


if __name__ == "__main__":
    sys.exit(main())
