"""Write the tables of measured numbers in README and docs out of the CSV files beside this script.

    python benchmarks/readme_tables.py            # rewrites the pages
    python benchmarks/readme_tables.py --check    # exit code 1 where a page is not what the CSV files say

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
from kinesics.studies.compare.table import p_text

HERE = Path(__file__).resolve().parent
PAGES = [HERE.parent / "README.md"] + [
    HERE.parent / "docs" / f"{name}.md" for name in ("ldlva", "audit", "studies", "rivals", "federation", "driving")
]
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


STUDY_CONDITIONS = {
    "natural": "original FER2013 labels",
    "flip0": "majority",
    "flip10": "majority, 10 % flipped",
    "flip20": "majority, 20 % flipped",
    "flip30": "majority, 30 % flipped",
}
STUDY_EPOCHS = {"short": 10, "long": 30}
STUDY_METHODS = {
    "cross_entropy": "cross-entropy",
    "smoothed": "smoothed (0.1)",
    "scn": "SCN",
    "eac": "EAC",
    "rul": "RUL",
    "ldlva": "LDLVA",
    "ldl_votes": "votes (ceiling)",
}


def noise_study(table: pd.DataFrame) -> str:
    """The methods of the noise study; in bold the best of a block that sees noisy labels only."""
    shown = (
        ("accuracy_selected", 1, 100.0, "accuracy, selected"),
        ("accuracy_last", 1, 100.0, "last epoch"),
        ("uar_selected", 1, 100.0, "UAR, selected"),
        ("kl_selected", 3, 1.0, "KL, selected"),
        ("kl_last", 3, 1.0, "last epoch"),
        ("auroc_label_doubt", 3, 1.0, "AUROC of doubt"),
    )
    heads = ["training labels", "epochs", "method", *(head for *_, head in shown), "seeds"]
    rows = []
    for condition, title in STUDY_CONDITIONS.items():
        for epochs in sorted(table["epochs"].unique()):
            block = table[(table["condition"] == condition) & (table["epochs"] == epochs)]
            means = block[block["method"] != "ldl_votes"].groupby("method")[[c for c, *_ in shown]].mean()
            for method, name in STUDY_METHODS.items():
                cell = block[block["method"] == method]
                if not len(cell):
                    continue
                numbers = []
                for column, digits, factor, _ in shown:
                    text = mean_and_error(cell[column], digits, factor)
                    best = means[column].min() if column.startswith("kl") else means[column].max()
                    bold = len(means) > 1 and method in means.index and means.loc[method, column] == best
                    numbers.append(f"**{text}**" if bold else text)
                rows.append([title, str(epochs), name, *numbers, str(cell["seed"].nunique())])
    caption = (
        "FER+, seven classes, 10,000 training images, compact net from scratch, judged on PrivateTest against the "
        "majority of ten votes (accuracy and its mean over classes, UAR, in %) and the votes (mean KL in nats after "
        "each run's own temperature, fitted on noisy validation labels). Selected: the epoch that is best on noisy "
        "validation labels. AUROC: how well the doubt about each training label finds those that differ from the "
        "majority. In bold the best among methods that see noisy labels only. Mean ± standard error over seeds. "
        "Made by `benchmarks/noise_study.py`."
    )
    return f"{caption}\n\n{markdown(heads, rows, 3)}"


def noise_summary(table: pd.DataFrame) -> str:
    """The noise study in brief: a row a method, accuracy and KL of the longest schedule's selected epoch."""
    epochs = int(table["epochs"].max())
    table = table[table["epochs"] == epochs]
    blocks = {name: title for name, title in STUDY_CONDITIONS.items() if (table["condition"] == name).any()}
    rows = []
    for method, name in STUDY_METHODS.items():
        cells = []
        for condition in blocks:
            block = table[table["condition"] == condition]
            means = block[block["method"] != "ldl_votes"].groupby("method")[["accuracy_selected", "kl_selected"]].mean()
            own = block[block["method"] == method]
            if not len(own):
                cells.append("–")
                continue
            texts = []
            for column, digits, factor in (("accuracy_selected", 1, 100.0), ("kl_selected", 3, 1.0)):
                text, values = f"{factor * own[column].mean():.{digits}f}", means[column]
                best = values.min() if column.startswith("kl") else values.max()
                texts.append(f"**{text}**" if values.get(method) == best and len(values) > 1 else text)
            seeds = own["seed"].nunique()
            cells.append(" / ".join(texts) + (f" ({seeds})" if seeds < 3 else ""))
        if set(cells) != {"–"}:
            rows.append([name, *cells])
    caption = (
        f"FER+, seven classes, 10,000 training images, {epochs} epochs, compact net from scratch: accuracy in % by the "
        "majority of ten votes / mean KL from the votes in nats, selected epoch, mean of three seeds or of as many as "
        "the brackets say. In bold the best that sees noisy labels only. A shorter schedule, errors, last epochs, UAR "
        "and AUROC: [docs/studies.md](docs/studies.md). Made by `benchmarks/noise_study.py`."
    )
    return f"{caption}\n\n{markdown(['method', *blocks.values()], rows, 1)}"


def noise_study_tests(table: pd.DataFrame) -> str:
    """What the tests say of LDLVA against cross-entropy."""
    rows = []
    for condition, title in STUDY_CONDITIONS.items():
        for schedule, epochs in STUDY_EPOCHS.items():
            found = table[
                (table["condition"] == condition) & (table["schedule"] == schedule) & (table["method"] == "ldlva")
            ]
            for _, row in found.iterrows():
                points = f"{100 * row['accuracy_selected_difference']:+.1f}"
                kl = f"{row['kl_selected_difference']:+.3f}"
                rows.append([
                    title, str(epochs),
                    f"{points} ± {100 * row['accuracy_selected_difference_se']:.1f}",
                    f"{100 * row['bootstrap_low']:+.1f} to {100 * row['bootstrap_high']:+.1f}",
                    *(p_text(row[name]) for name in ("accuracy_selected_p", "mcnemar_p_holm", "bootstrap_p_holm")),
                    f"{kl} ± {row['kl_selected_difference_se']:.3f}", p_text(row["kl_selected_p"]),
                ])  # fmt: skip
    heads = [
        "training labels", "epochs", "accuracy, points", "95 % over images", "p, seeds", "McNemar, Holm",
        "bootstrap, Holm", "KL", "p, seeds",
    ]  # fmt: skip
    caption = (
        "LDLVA against cross-entropy with the same seeds, selected epoch: mean difference ± standard error over three "
        "seeds, and p-values. Over seeds uncorrected (two degrees of freedom); over test images corrected by Holm for "
        f"all {len(table[table['method'] != 'cross_entropy'])} comparisons with cross-entropy in the study. Made by "
        "`benchmarks/noise_study.py --keep-tests`."
    )
    return f"{caption}\n\n{markdown(heads, rows, 1)}"


def cross_labels(table: pd.DataFrame) -> str:
    """Trained on one data set's labels, judged by both: the cells of ferplus_cross.yaml."""
    heads = ["training labels", "method", "by FER+ labels", "by FER2013 labels", "difference", "seeds"]
    rows = []
    for condition, title in {name: STUDY_CONDITIONS[name] for name in ("natural", "flip0")}.items():
        for method, name in STUDY_METHODS.items():
            block = table[(table["method"] == method) & (table["schedule"] == "short")].set_index("seed")
            own, other = (
                block.loc[block["condition"] == which, "accuracy_last"]
                for which in (condition, f"{condition}_by_fer2013")
            )
            own, other = own.align(other, join="inner")
            if len(own):
                numbers = [mean_and_error(values, 1, 100.0) for values in (own, other, own - other)]
                rows.append([title, name, *numbers, str(len(own))])
    caption = (
        "The same trainings judged by two sets of labels of the same 2,874 test images: accuracy (%) of the last "
        "of 10 epochs, mean ± standard error over seeds that have both. Made by `benchmarks/noise_study.py --study "
        "cross`."
    )
    return f"{caption}\n\n{markdown(heads, rows, 2)}" if rows else "Not run yet."


PUBLISHED = {
    "compact-20": "compact, 20 epochs",
    "compact-40": "compact, 40 epochs",
    "shipped": "compact, 40 epochs, more zoom and shift",
    "wide-40": "compact_wide, 40 epochs",
    "shipped-wide": "compact_wide, 40 epochs, more zoom and shift (ships)",
    "wide-80": "compact_wide, 80 epochs",
    "resnet18-40": "resnet18, 40 epochs",
}


def ferplus_published(table: pd.DataFrame) -> str:
    """FER+ by its own protocol: accuracy and cost by recipe."""
    rows = []
    for recipe, title in PUBLISHED.items():
        own = table[table["recipe"] == recipe]
        if len(own):
            numbers = [
                mean_and_error(own[name], 1, 100.0) for name in ("accuracy", "accuracy_flipped", "accuracy_last", "uar")
            ]
            kl, minutes = mean_and_error(own["kl"], 3), f"{own['seconds'].min() / 60:.0f}"
            millions = f"{own['parameters'].iloc[0] / 1e6:.1f}"
            rows.append([title, millions, *numbers, kl, minutes, str(own["seed"].nunique())])
    heads = [
        "from scratch, on votes", "parameters, million", "accuracy, selected", "with the mirror image", "last epoch",
        "UAR, selected", "KL, selected", "minutes", "seeds",
    ]  # fmt: skip
    caption = (
        f"FER+ by its own protocol, eight classes: {table['train'].max():,} training, {table['test'].max():,} test "
        "faces on which more than half of ten people agree; accuracy and UAR in %, KL from the votes in nats after "
        "temperature. Barsoum et al. (2016) report 84.99 % for VGG13. Minutes: the fastest run, on one CPU thread or "
        "two. Mean ± standard error over seeds. Made by `benchmarks/ferplus_published.py`."
    )
    return f"{caption}\n\n{markdown(heads, rows, 1)}"


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


DRIVES = {
    "sessions": "simulator, 8 sessions over Gaia",
    "roads11": "drawn roads, 11 silos, Gaia",
    "roads22": "drawn roads, 22 silos, NWS",
}
WAYS = {"cll": "one place", "sfl": "server (star)", "ring": "peers, ring", "best": "peers, complete"}
NETS = {"random": "Random", "constant": "Constant", "dronet": "DroNet", "fadnet": "FADNet"}


def steering_federations(table: pd.DataFrame) -> str:
    """RMSE by data, system and way of training."""
    rows = []
    for data, title in DRIVES.items():
        for system, net in NETS.items():
            for method, way in WAYS.items():
                cell = table[(table["data"] == data) & (table["system"] == system) & (table["method"] == method)]
                if not len(cell):
                    continue
                plain = system in ("random", "constant")
                clean = mean_and_error(cell["rmse_clean"], 4) if data == "sessions" else "–"
                rows.append(
                    [
                        title, net, "–" if plain else way, mean_and_error(cell["rmse"], 4), clean,
                        "–" if plain else mean_and_error(cell["rmse_silos_mean"], 4),
                        "–" if plain else f"{cell['modelled_s'].mean():.0f}", str(cell["seed"].nunique()),
                    ]
                )  # fmt: skip
    caption = (
        "RMSE of the steering angle (in [-1, 1]) on held-out drives, 64 x 64 grey pixels, Adam at 0.001: the average "
        "of all silos, without the two sessions of noisy labels, and the mean of the silos' own models; modelled "
        "seconds to the end of training (10 Gbit/s access, 4.9 ms a step). Mean ± standard error over seeds. Made by "
        "`benchmarks/steering_federations.py`."
    )
    heads = ["data", "network", "trained by", "RMSE", "clean sessions", "silos' own", "modelled s", "seeds"]
    return f"{caption}\n\n{markdown(heads, rows, 3)}"


def federated_ldlva(table: pd.DataFrame) -> str:
    """LDLVA across silos of skewed classes."""
    names = {
        "central": "one place, 30 epochs", "dfl": "peers, the average",
        "dfl_as_one": "peers, as near as one place", "dfl_renorm": "the same, averages in the forward pass alone",
        "alone": "each silo alone",
    }  # fmt: skip
    rows = []
    for method, name in names.items():
        cell = table[table["method"] == method]
        if len(cell):
            rows.append(
                [
                    name, mean_and_error(cell["silos_mean" if method == "alone" else "accuracy"], 1, 100.0),
                    mean_and_error(cell["kl"], 3), mean_and_error(cell["silos_least"], 1, 100.0),
                    mean_and_error(cell["silos_most"], 1, 100.0), mean_and_error(cell["auroc_label_doubt"], 3),
                    mean_and_error(cell["auroc_uncertainty"], 3), str(cell["seed"].nunique()),
                ]
            )  # fmt: skip
    caption = (
        "LDLVA on FER+ with 30 % flipped labels, 10,000 images in eight silos of skewed classes (Dirichlet, alpha "
        "0.5), 30 passes: accuracy in % and KL on clean test images (alone: the mean over silos), the least and the "
        "best of the silos' own models, AUROC of finding flipped labels. Mean ± standard error over seeds. Made by "
        "`benchmarks/federated_ldlva.py`."
    )
    heads = ["trained by", "accuracy", "KL", "least silo", "best silo", "AUROC of doubt", "AUROC of λ", "seeds"]
    return f"{caption}\n\n{markdown(heads, rows, 1)}"


def round_cost(table: pd.DataFrame) -> str:
    """Speed of a round relative to the baseline."""
    rows = [
        [
            row["preset"], row["variant"], f"{row['times_as_fast']:.2f} ({row['least']:.2f} to {row['most']:.2f})",
            f"{row['round_ms']:,.0f}", f"{row['mixing_ms']:.1f}",
        ]
        for _, row in table.iterrows()
    ]  # fmt: skip
    caption = (
        "A round of 11 silos, FADNet at 200 x 200 grey pixels, batches of 32, one thread: how many times as fast as a "
        "list of models in NCHW order that are mixed parameter by parameter, median and range of the turns. Made by "
        "`benchmarks/round_cost.py`."
    )
    return f"{caption}\n\n{markdown(['preset', 'way', 'times as fast', 'round, ms', 'of it mixing, ms'], rows, 2)}"


def many_silos(table: pd.DataFrame) -> str:
    """Time and memory against the number of silos."""
    rows = [
        [
            f"{row['silos']:,.0f}", f"{row['round_ms']:,.0f}", f"{row['mixing_ms']:,.0f}", f"{row['ms_per_silo']:.1f}",
            f"{row['peak_mib']:,.0f}", f"{row['mib_per_silo']:.1f}",
        ]
        for _, row in table.iterrows()
    ]  # fmt: skip
    caption = (
        f"One process, one thread: FADNet of {table['weights'].iloc[0]:,} weights at 32 x 32 pixels, batches of 16, a "
        "one-way ring; resident memory at its highest, with Adam's moments. Made by `benchmarks/many_silos.py`."
    )
    heads = ["silos", "round, ms", "of it mixing, ms", "ms a silo", "memory, MiB", "MiB a silo"]
    return f"{caption}\n\n{markdown(heads, rows, 0)}"


def closed_loop(table: pd.DataFrame) -> str:
    """Roads completed by the trained policies."""
    rows = []
    for driver, name in (("expert", "the expert"), ("fadnet", "FADNet, peers over the ring")):
        for sky in dict.fromkeys(table["sky"]):
            for seed, part in table[(table["driver"] == driver) & (table["sky"] == sky)].groupby("seed"):
                done = ((part["laps"] >= part["asked"]) & (part["departures"] == 0)).sum()
                rows.append(
                    [
                        name, "–" if driver == "expert" else str(seed), sky, f"{done} of {len(part)}",
                        f"{100 * part['off_road'].mean():.1f}", f"{part['mean_lateral'].mean():.2f}",
                        f"{part['max_lateral'].max():.2f}",
                    ]
                )  # fmt: skip
    caption = (
        "Closed loop on ten roads that no silo has seen: roads completed without leaving them, share of the time off "
        "the road in %, mean and largest distance from the middle in metres. Made by `benchmarks/closed_loop.py`."
    )
    heads = ["driver", "seed", "sky", "completed", "off road", "mean distance", "largest"]
    return f"{caption}\n\n{markdown(heads, rows, 3)}"


AUDIT = {
    ("cross_entropy", "doubt"): "audit of cross-entropy",
    ("ldlva", "doubt"): "audit of LDLVA",
    ("cross_entropy", "model_doubt"): "1 - p(label), cross-entropy",
    ("cross_entropy", "cleanlab_self_confidence"): "cleanlab, self-confidence",
    ("cross_entropy", "cleanlab_normalized_margin"): "cleanlab, normalised margin",
    ("cross_entropy", "neighbour_doubt"): "neighbours' labels",
    ("cross_entropy", "around_doubt"): "answers to the neighbours",
    ("ldlva", "model_doubt"): "1 - p(label), LDLVA",
    ("ldlva", "around_doubt"): "answers to the neighbours, LDLVA",
    ("ldlva", "uncertainty"): "LDLVA's λ",
    ("ldlva", "constructed_doubt"): "LDLVA's constructed distribution",
}


def audit(table: pd.DataFrame) -> str:
    """Precision, average precision and AUROC of finding wrong labels, by condition and score."""
    shown = (
        ("precision_1000", 1, 100.0, "precision at 1,000"),
        ("precision_5000", 1, 100.0, "at 5,000"),
        ("average_precision", 3, 1.0, "average precision"),
        ("auroc", 3, 1.0, "AUROC"),
    )
    rows = []
    scale = ["n_train", "epochs", "folds"]
    for condition in ("natural", "flip30"):
        for (images, epochs, folds), block in table[table["condition"] == condition].groupby(scale):
            for (method, score), name in AUDIT.items():
                cell = block[(block["method"] == method) & (block["score"] == score)]
                if len(cell):
                    numbers = [mean_and_error(cell[column], digits, factor) for column, digits, factor, _ in shown]
                    made = [f"{images:,}", str(epochs), str(folds)]
                    rows.append([CONDITIONS[condition], *made, name, *numbers, str(cell["seed"].nunique())])
    caption = (
        "Finding wrong training labels of FER+, compact net. Folds: parts of the cross-validation whose out-of-fold "
        "answers the audit has beside the model's own, 0 for none. Original labels are judged where at least six of "
        "ten votes agree. Precision in %; mean ± standard error over seeds. Made by `benchmarks/audit.py`."
    )
    heads = ["training labels", "images", "epochs", "folds", "ranked by", *(head for *_, head in shown), "seeds"]
    text = f"{caption}\n\n{markdown(heads, rows, 5)}"
    again = table[table["score"].str.match(r"(retrain|drop)_\d+$")]
    lines = []
    for (condition, score), cell in again.groupby(["condition", "score"], sort=False):
        kind, count = str(score).split("_")
        how = {"retrain": "relabelled as proposed", "drop": "left out"}[kind]
        columns = ("labels_before", "labels_after", "accuracy_before", "accuracy_after")
        numbers = [mean_and_error(cell[name], 1, 100.0) for name in columns]
        seeds = str(cell["seed"].nunique())
        lines.append([CONDITIONS[str(condition)], f"{int(count):,} most doubtful {how}", *numbers, seeds])
    if lines:
        heads = ["training labels", "corrected", "labels right before", "after", "accuracy before", "after", "seeds"]
        text += (
            "\n\nCross-entropy trained again on corrected labels: shares of the training labels that are the "
            f"majority's, and test accuracy, in %.\n\n{markdown(heads, lines, 2)}"
        )
    return text


TABLES: dict[str, Callable[[pd.DataFrame], str]] = {
    "ferplus_noise": ferplus_noise,
    "noise_study": noise_study,
    "noise_summary": noise_summary,
    "noise_study_tests": noise_study_tests,
    "cross_labels": cross_labels,
    "ferplus_published": ferplus_published,
    "step_cost": step_cost,
    "memory": memory,
    "steering_federations": steering_federations,
    "federated_ldlva": federated_ldlva,
    "round_cost": round_cost,
    "many_silos": many_silos,
    "closed_loop": closed_loop,
    "audit": audit,
}


SOURCES = {"cross_labels": "noise_study", "noise_summary": "noise_study"}
"""Table -> stem of its CSV file, where that is another."""


def render(readme: str, folder: Path) -> str:
    """The text of a page with every table written anew from the CSV files in `folder`."""

    def between(found: re.Match[str]) -> str:
        name = found["name"]
        if name not in TABLES:
            sys.exit(f"there is a marker for table {name!r}; known: {', '.join(TABLES)}")
        source = folder / f"{SOURCES.get(name, name)}.csv"
        rows = pd.read_csv(source) if source.is_file() else pd.DataFrame()
        text = f"\n{TABLES[name](rows)}\n\n" if len(rows) else ""
        return f"<!-- table:{name} -->\n{text}<!-- /table:{name} -->"

    return re.sub(r"<!-- table:(?P<name>\w+) -->.*?<!-- /table:(?P=name) -->", between, readme, flags=re.DOTALL)


def main() -> int:
    """Write or check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 where a page is stale")
    parser.add_argument("--pages", "--readme", type=Path, nargs="+", default=PAGES)
    parser.add_argument("--folder", type=Path, default=HERE, help="where the CSV files are")
    given = parser.parse_args()
    stale = False
    for page in given.pages:
        before = page.read_text(encoding="utf-8")
        after = render(before, given.folder)
        if given.check and before != after:
            print(f"{page} is not what {given.folder} says: python benchmarks/readme_tables.py", file=sys.stderr)
            stale = True
        elif before != after:
            with atomic_write(page, "w") as stream:
                stream.write(after)
    return int(stale)


if __name__ == "__main__":
    sys.exit(main())
