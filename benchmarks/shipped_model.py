"""The model that ships: pack a run of ferplus_published.py into the package, measure what is packed, write its card.

    OMP_NUM_THREADS=1 python benchmarks/shipped_model.py SHEETS WORK [--pack RUN]

WORK is that of ferplus_published.py, RUN a finished run of one of its recipes (WORK/published/RECIPE-SEED). `--pack`
writes RUN's weights as float16 and its description to src/kinesics/weights. Then the packed model answers for the
validation and test faces of FER+'s protocol (one emotion with more than half of the votes) as whole pictures. Results:
benchmarks/shipped_model.csv, a row a measurement (`part`, `name`, `value`; shares in [0, 1]), and the card,
src/kinesics/weights/ferplus-compact.md.

Parts: `made`, how the run was; `scores`; `all faces`, the same on all PrivateTest faces whose votes have an emotion in
front, however few agree; `recall` a class, with `count` test faces; `confusion`, the share of a class's
faces that get another label, where above 0.1; `risk`, the share withheld and the accuracy of the rest where `--abstain`
is 0.05 .. 0.5; `changed`, accuracy on test faces that were turned, blurred, darkened, covered.
"""

from __future__ import annotations

import argparse
import csv
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from ferplus_manifest import read_images
from ferplus_published import write_manifest
from PIL import Image

from kinesics.engine.run import Run
from kinesics.files import atomic_write, sha256_file
from kinesics.inference.abstaining import threshold_of
from kinesics.inference.predictor import Predictor, load
from kinesics.metrics.calibration import apply_temperature, expected_calibration_error, negative_log_likelihood
from kinesics.metrics.classification import confusion_matrix, macro_f1, per_class, uar
from kinesics.metrics.distribution import distribution_measures
from kinesics.nn.backbones import count_parameters
from kinesics.nn.weights import read_state, write_state

HERE = Path(__file__).resolve().parent
WEIGHTS = HERE.parent / "src" / "kinesics" / "weights"
NAME = "ferplus-compact"
Picture = np.ndarray
Row = dict[str, Any]


def pack(run: Path) -> None:
    """Write the run's kept weights as float16, and what describes them, into the package.

    The manifest has no boxes, so that the run's description has no face rule: it gets the one of the recipe.
    """
    description = Run(run).read_json("model.json")
    description["spec"]["face"] = yaml.safe_load((run / "config.yaml").read_text())["input"]["face"]
    state = read_state(run / "model.safetensors")
    small = {name: t.half() if t.dtype == torch.float32 else t for name, t in state.items()}
    assert all(torch.isfinite(t).all() for t in small.values() if t.is_floating_point())
    weights = WEIGHTS / f"{NAME}.safetensors"
    write_state(weights, small, {"format": "kinesics", "system": description["system"]})
    Run(WEIGHTS).write_json(f"{NAME}.json", {**description, "sha256": sha256_file(weights)})


def made_by(run: Path) -> list[Row]:
    """How the run was made."""
    told, recipe = Run(run).read_json("run.json"), yaml.safe_load((run / "config.yaml").read_text())
    found = {
        "recipe": run.name.rpartition("-")[0], "threads": recipe["fit"]["threads"],
        "training faces": told["data"]["train"], "seconds": round(told["seconds"]), "epochs": recipe["fit"]["epochs"],
        "selected epoch": told["selected_epoch"], "commit": told["environment"]["git_commit"],
    }  # fmt: skip
    return [{"part": "made", "name": name, "value": value} for name, value in found.items()]


def read_made(results: Path) -> list[Row]:
    """The same from an earlier table."""
    table = pd.read_csv(results, dtype=str)
    return table[table["part"] == "made"][["part", "name", "value"]].to_dict("records")


def turned(degrees: float) -> Callable[[Picture], Picture]:
    """Turned about the middle; the border is repeated outside."""

    def change(face: Picture) -> Picture:
        wide = Image.fromarray(np.pad(face, 24, mode="edge")).rotate(degrees, Image.Resampling.BILINEAR)
        return np.asarray(wide)[24:-24, 24:-24]

    return change


def blurred(side: int) -> Callable[[Picture], Picture]:
    """Made so small, and large again: what a small face in a photograph gives."""

    def change(face: Picture) -> Picture:
        small = Image.fromarray(face).resize((side, side), Image.Resampling.BOX)
        return np.asarray(small.resize(face.shape[::-1], Image.Resampling.BILINEAR))

    return change


def brightened(factor: float) -> Callable[[Picture], Picture]:
    """Every pixel times a factor, cut off at white."""
    return lambda face: np.clip(face * factor, 0, 255).astype(np.uint8)


def covered(top: float, bottom: float) -> Callable[[Picture], Picture]:
    """Black from a share of the height to another: sunglasses, a mask."""

    def change(face: Picture) -> Picture:
        face = face.copy()
        face[round(top * len(face)) : round(bottom * len(face))] = 0
        return face

    return change


def noisy(face: Picture) -> Picture:
    """Normal noise of 20 of 255 grey values, the same for every face."""
    noise = np.random.default_rng(0).normal(0, 20, face.shape)
    return np.clip(face + noise, 0, 255).astype(np.uint8)


CHANGES: dict[str, Callable[[Picture], Picture]] = {
    "as they are": lambda face: face,
    "mirrored": lambda face: np.ascontiguousarray(face[:, ::-1]),
    "turned by 15 degrees": turned(15),
    "turned by 30 degrees": turned(30),
    "turned by 45 degrees": turned(45),
    "upside down": lambda face: np.ascontiguousarray(face[::-1, ::-1]),
    "24 pixels wide": blurred(24),
    "16 pixels wide": blurred(16),
    "12 pixels wide": blurred(12),
    "dark (x 0.4)": brightened(0.4),
    "overexposed (x 1.8)": brightened(1.8),
    "noise": noisy,
    "eyes covered": covered(0.22, 0.48),
    "mouth covered": covered(0.6, 1.0),
}


def answers(model: Predictor, faces: list[Picture]) -> np.ndarray:
    """(N, C) calibrated distributions."""
    return np.array([list(answer.distribution.values()) for answer in model(faces, faces="whole")])


def gap_to_raters(confidence: np.ndarray, share: np.ndarray, bins: int = 15) -> float:
    """How far confidences are from the share of raters who gave the answer, as the expected calibration error counts.

    Args:
        confidence: (N,) of the answers.
        share: (N,) of the raters who gave that answer.
    """
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    rows = [place == k for k in range(bins)]
    return float(sum(row.mean() * abs(confidence[row].mean() - share[row].mean()) for row in rows if row.any()))


def all_faces(model: Predictor, sheets: Path) -> list[Row]:
    """Scores on every PrivateTest face whose votes have an emotion in front."""
    table = pd.read_csv(sheets / "labels.csv")
    everything = table[[name for name in table if name.startswith("v_")]].to_numpy()
    chosen = ((table["usage"] == "PrivateTest") & (everything.argmax(1) < len(model.classes))).to_numpy()
    votes = table.loc[chosen, [f"v_{name}" for name in model.classes]].to_numpy(dtype=float)
    shares, number = votes / votes.sum(1, keepdims=True), votes.argmax(1)
    p = answers(model, list(read_images(sheets, len(table))[chosen]))
    raw = apply_temperature(p, 1 / model.calibration["temperature"])
    given = shares[np.arange(len(p)), p.argmax(1)]
    found = {
        "faces": len(p), "accuracy": (p.argmax(1) == number).mean(), "mean confidence": p.max(1).mean(),
        "mean share of raters who gave the answer": given.mean(), "gap to the raters": gap_to_raters(p.max(1), given),
        "gap to the raters before the temperature": gap_to_raters(raw.max(1), given),
        "KL from the votes": distribution_measures(shares, p)["kl"],
        "KL from the votes before the temperature": distribution_measures(shares, raw)["kl"],
        "ECE": expected_calibration_error(p, number),
        "ECE before the temperature": expected_calibration_error(raw, number),
    }  # fmt: skip
    return [{"part": "all faces", "name": name, "value": round(float(value), 4)} for name, value in found.items()]


def measure(model: Predictor, work: Path) -> list[Row]:
    """Every row of the table."""
    table = pd.read_csv(work / "published.csv")
    rows: list[Row] = []
    found: dict[str, tuple[list[Picture], np.ndarray, np.ndarray]] = {}
    for split in ("valid", "test"):
        part = table[table["split"] == split]
        faces = [np.asarray(Image.open(work / path)) for path in part["path"]]
        votes = part[[f"p_{name}" for name in model.classes]].to_numpy(dtype=float)
        number = part["label"].map(list(model.classes).index).to_numpy()
        found[split] = faces, number, votes / votes.sum(1, keepdims=True)
    faces, number, votes = found["test"]
    p = answers(model, faces)
    confusion = confusion_matrix(number, p.argmax(1), len(model.classes))
    raw = apply_temperature(p, 1 / model.calibration["temperature"])
    entropy = -(p * np.log(np.maximum(p, 1e-12))).sum(1) / np.log(p.shape[1])
    scores = {
        "test faces": len(number),
        "validation faces": len(found["valid"][1]),
        "validation accuracy": (answers(model, found["valid"][0]).argmax(1) == found["valid"][1]).mean(),
        "accuracy": (p.argmax(1) == number).mean(),
        "accuracy with the mirror image": ((p + answers(model, list(map(CHANGES["mirrored"], faces)))).argmax(1)
                                           == number).mean(),
        "UAR": uar(confusion), "macro F1": macro_f1(confusion),
        "KL from the votes": distribution_measures(votes, p)["kl"],
        "ECE before the temperature": expected_calibration_error(raw, number),
        "ECE": expected_calibration_error(p, number),
        "NLL before the temperature": negative_log_likelihood(raw, number),
        "NLL": negative_log_likelihood(p, number),
        "temperature": model.calibration["temperature"],
        "parameters": count_parameters(model.task),
        "bytes": (WEIGHTS / f"{NAME}.safetensors").stat().st_size,
    }  # fmt: skip
    rows += [{"part": "scores", "name": name, "value": round(float(value), 4)} for name, value in scores.items()]
    recall, count = per_class(confusion)["recall"], confusion.sum(1)
    for place, name in enumerate(model.classes):
        rows.append({"part": "recall", "name": name, "value": round(float(recall[place]), 4), "count": count[place]})
    for i, j in zip(*np.nonzero(confusion / np.maximum(count, 1)[:, None] > 0.1), strict=True):
        if i != j:
            name = f"{model.classes[i]} as {model.classes[j]}"
            value = round(float(confusion[i, j] / count[i]), 4)
            rows.append({"part": "confusion", "name": name, "value": value, "count": count[i]})
    for share in (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5):
        kept = entropy <= threshold_of(model.calibration, share)
        right = (p.argmax(1) == number)[kept].mean()
        rows.append({"part": "risk", "name": f"{share:g}", "value": round(float(right), 4), "withheld":
                     round(1 - float(kept.mean()), 4)})  # fmt: skip
    for name, change in CHANGES.items():
        share = (answers(model, [change(face) for face in faces]).argmax(1) == number).mean()
        rows.append({"part": "changed", "name": name, "value": round(float(share), 4)})
    return rows


def percent(value: float) -> str:
    """ "84.3" """
    return f"{100 * value:.1f}"


def table_of(heads: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, the first column left."""
    rule = ["---", *["---:"] * (len(heads) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (heads, rule, *rows))


def wrapped(text: str) -> str:
    """The text with its paragraphs broken anew into lines of 118 characters; tables and heads stay."""
    blocks = text.strip().split("\n\n")
    return "\n\n".join(
        block if block.startswith(("|", "#")) else textwrap.fill(block, 118, break_on_hyphens=False) for block in blocks
    )


def card(rows: list[Row], model: Predictor) -> str:
    """The model's card."""
    part: dict[str, list[Row]] = {}
    for row in rows:
        part.setdefault(row["part"], []).append(row)
    made = {row["name"]: str(row["value"]) for row in part["made"]}
    every = {row["name"]: float(row["value"]) for row in part["all faces"]}
    score = {row["name"]: float(row["value"]) for row in part["scores"]}
    confused = sorted(part["confusion"], key=lambda row: -row["value"])
    recall = [[row["name"], str(row["count"]), percent(row["value"])] for row in part["recall"]]
    risk = [[row["name"], percent(row["withheld"]), percent(row["value"])] for row in part["risk"]]
    changed = [[row["name"], percent(row["value"])] for row in part["changed"]]
    wrong = "; ".join(f"{row['name']}: {percent(row['value'])} % of {row['count']}" for row in confused)
    return f"""# ferplus-compact

Written by `benchmarks/shipped_model.py`; every number below is a row of `benchmarks/shipped_model.csv`.

**What it is.** Backbone `{model.task.config.backbone}` of kinesics ({score["parameters"]:,.0f} parameters,
{score["bytes"] / 1e6:.1f} MB in float16): a grey face of {model.form.size} x {model.form.size} pixels -> a calibrated
distribution over {", ".join(model.classes)}. Valence and arousal of its answers are a projection of that distribution
onto published coordinates of the words, not something it was trained on.

**How it was made.** `python benchmarks/ferplus_published.py SHEETS WORK --recipes {made["recipe"]}`: from scratch, on
the votes of {int(made["training faces"]):,} FER+ training faces, {float(made["seconds"]) / 60:.0f} minutes on
{made["threads"]} CPU threads; epoch {made["selected epoch"]} of {made["epochs"]} was chosen on validation faces. Commit
`{made["commit"][:12]}`.

**Data and terms.** Pictures of FER2013 (a 2013 challenge, collected from the web, for research), votes of ten
people each from FER+ (Microsoft, MIT licence). No picture is in the package and no right to the pictures is granted.
`NOTICE` beside the weights holds; use it for research, for fine-tuning, and to try things out.

## How good

{score["test faces"]:,.0f} test faces (FER2013 PrivateTest) on which more than half of ten people agreed: accuracy
{percent(score["accuracy"])} %, {percent(score["accuracy with the mirror image"])} % with the mirror image's answer
added; UAR {percent(score["UAR"])} %, macro F1 {percent(score["macro F1"])} %; KL from the votes
{score["KL from the votes"]:.3f}. On the {score["validation faces"]:,.0f} validation faces, which chose the epoch,
{percent(score["validation accuracy"])} %. The protocol's own network (VGG13, Barsoum et al. 2016) has 84.99 %.

{table_of(["class", "test faces", "recall, %"], recall)}

What is taken for something else in more than a tenth of the cases: {wrong}.

## How sure

A confidence is the share of people that is expected to give the answer, not the chance that the majority does: the
temperature, {score["temperature"]:.3f}, was fitted to the votes of the validation faces. On all
{every["faces"]:,.0f} PrivateTest faces with an emotion in front, however few agree
({percent(every["accuracy"])} % right), the mean confidence is {every["mean confidence"]:.3f} and
{every["mean share of raters who gave the answer"]:.3f} of the raters gave the answer; the two differ by
{every["gap to the raters"]:.3f} on average over 15 bins of confidence
({every["gap to the raters before the temperature"]:.3f} without the temperature), and KL from the votes is
{every["KL from the votes"]:.3f} ({every["KL from the votes before the temperature"]:.3f}). Against the majority, which
is right more often than single raters, such confidences are too low: expected calibration error
{every["ECE"]:.3f} ({every["ECE before the temperature"]:.3f} without the temperature).

Risk and coverage on the faces that most agree on, by the entropy of the answer:

{table_of(["`--abstain`", "withheld, %", "accuracy of the rest, %"], risk)}

## Where it fails

The same test faces, changed:

{table_of(["faces", "accuracy, %"], changed)}

Besides: faces in profile, infants and drawings are rare in its data; people were labelled by strangers from one still
picture; who is rare in web photographs of 2013 is rare here, and nothing is known about errors by age, gender or skin.
It says what raters would call a face, not what a person feels. Not for decisions about people, nor for lie, health or
hiring claims.
"""


def main() -> None:
    """Pack, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sheets", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--pack", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    write_manifest(given.sheets, given.work)
    if given.pack:
        pack(given.pack)
    results = HERE / "shipped_model.csv"
    made = made_by(given.pack) if given.pack else read_made(results)
    model = load(NAME)
    rows = made + measure(model, given.work) + all_faces(model, given.sheets)
    with atomic_write(results, "w") as stream:
        writer = csv.DictWriter(stream, ["part", "name", "value", "count", "withheld"], restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    with atomic_write(WEIGHTS / f"{NAME}.md", "w") as stream:
        stream.write(wrapped(card(rows, model)) + "\n")
    for row in rows:
        print(row)


if __name__ == "__main__":
    main()
