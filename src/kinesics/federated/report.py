"""report.html of a federation: what every report shows, and the silos, the clocks and what was sent."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from kinesics.data.samples import Samples
from kinesics.engine.metric_names import CALIBRATED, describe
from kinesics.engine.page import Picture, Section, details, table_html
from kinesics.engine.prediction import Prediction
from kinesics.engine.report import run_report
from kinesics.engine.report_sections import facts_table
from kinesics.engine.run import Run
from kinesics.engine.session import report_info
from kinesics.engine.task import Task
from kinesics.federated import clock_figures as figures
from kinesics.federated.config import FederatedRecipe

MODES = {
    "dfl": "peers over an overlay (dfl)",
    "sfl": "a server averages (sfl)",
    "cll": "all samples in one place (cll)",
}
_SHOWN = 4
"""Metrics of a silo's own model that the table shows."""
_MOST_ROUNDS = 60
"""Rows of the table of rounds; of more judged rounds it shows some, evenly."""


def write_report(
    run: Run,
    task: Task,
    recipe: FederatedRecipe,
    description: dict[str, Any],
    history: Sequence[Mapping[str, float]],
    silos: Sequence[Mapping[str, Any]],
    split: str,
    samples: Samples,
    predictions: Sequence[Prediction],
) -> None:
    """Write report.html.

    Args:
        run: where.
        task: with the average of all silos and its calibration.
        recipe: of the federation.
        description: what run.json holds.
        history: a record each judged round.
        silos: rows of silos.csv.
        split: "test" or "valid", that was judged by.
        samples: of that split.
        predictions: the average's uncalibrated answers to them.
    """
    judged, table = pd.DataFrame(history), pd.DataFrame(silos)
    metric, better = task.selection_metric
    average = float(description["last"][split][metric])
    lead = [error_section(judged, f"{split}/{metric}", metric, better)]
    if recipe.federation.mode != "cll":
        lead += [silo_section(table, metric, better, average), consensus_section(judged)]
    lead.append(settings_section(recipe, description["silos"], judged))
    place = "in one place" if recipe.federation.mode == "cll" else f"across {len(table)} silos"
    info = report_info(description, split)
    run_report(
        run.folder / "report.html",
        info,
        judged,
        task.evaluation(predictions, samples),
        samples.pixels,
        task.report(predictions, samples),
        lead=lead,
        headlines=headlines(judged, table, metric),
        title=f"{description['system']} {place} on {info['data']}",
    )


def headlines(history: pd.DataFrame, silos: pd.DataFrame, metric: str) -> dict[str, tuple[str, str]]:
    """Name -> (value, meaning) of what a federation's summary adds to the average's scores."""
    own, last = describe(metric), history.iloc[-1]
    found = {}
    if len(silos) > 1:
        mean = own.format(float(silos[metric].mean()))
        found["Own models"] = (mean, f"{own.title} of the silos' own models, mean of {len(silos)}")
    sent = bool(last["message_bits"])
    told = f"{last['round']:.0f} rounds{' with the network' if sent else ''}"
    found["Modelled time"] = (figures.seconds(float(last["modelled_s"])), told)
    if sent:
        found["Sent"] = (figures.bits(float(last["message_bits"])), "messages of all silos")
    return found


def error_section(history: pd.DataFrame, column: str, metric: str, better: int) -> Section:
    """The average's error against the measured and the modelled clock.

    Args:
        history: a row each judged round.
        column: of the metric in it.
        metric: its name.
        better: its direction.
    """
    error = figures.error_of(history[column].to_numpy(dtype=float), better)
    last = history.iloc[-1]
    title = figures.error_title(metric, better)
    ends = f"{error[0]:.4g} at first, {error[-1]:.4g} at the end"
    pictures = [
        Picture(
            figures.error_over_clock(history, clock, error, metric, better),
            f"{title} of the average over {label}: {ends}, at {figures.seconds(float(last[clock]))}.",
        )
        for clock, label in figures.CLOCKS.items()
    ]
    note = (
        "The average of all silos. Measured: the slowest silo of each round on the machine that simulated them, no "
        "network. Modelled: rounds of the topology's model of time, computation and messages together."
    )
    rows = np.unique(np.linspace(0, len(history) - 1, _MOST_ROUNDS).round().astype(int))
    numbers = history[["round", *figures.CLOCKS, column]].assign(error=error).iloc[rows]
    titles = {"round": "Round", "compute_s": "Measured (s)", "modelled_s": "Modelled (s)", "error": title}
    titles[column] = describe(metric).title
    if better < 0:
        numbers = numbers.drop(columns="error")
    shown = table_html(
        numbers,
        "Each judged round" if len(rows) == len(history) else f"{len(rows)} of {len(history)} judged rounds",
        titles=titles,
        formats={"round": "{:.0f}".format, column: describe(metric).format, "error": "{:.4f}".format},
    )
    return Section("Error against the clocks", [*pictures, details("The rounds as a table", shown)], note)


def silo_section(table: pd.DataFrame, metric: str, better: int, average: float) -> Section:
    """Size and own model's scores of every silo, as bars and as a table.

    Args:
        table: as silos.csv.
        metric: that is drawn.
        better: its direction.
        average: score of the average of all silos.
    """
    own = describe(metric)
    score = table[metric].to_numpy(dtype=float)
    alt = f"{own.title} of each silo's own model"
    if np.isfinite(score).any():
        best = int(np.nanargmax(better * score))
        worst = int(np.nanargmin(better * score))
        alt += (
            f": best {table['silo'][best]} with {own.format(score[best])}, worst {table['silo'][worst]} with "
            f"{own.format(score[worst])}; the average of all silos has {own.format(average)}"
        )
    left_out = ("silo", "n_train", metric, "war")  # WAR is the accuracy
    names = [str(name) for name in table if name not in left_out and "/" not in str(name)]
    names = [metric, *[name for name in names if not name.endswith(CALIBRATED)]][:_SHOWN]
    content = table_html(
        table[["silo", "n_train", *names]],
        "Scores of each silo's own model on the same samples",
        titles={"silo": "Silo", "n_train": "Training samples"} | {name: describe(name).title for name in names},
        formats={"n_train": "{:,}".format} | {name: describe(name).format for name in names},
    )
    note = (
        "A silo's own model is what it holds after its last local steps; it is judged by the same samples as the "
        "average. silos.csv has every score."
    )
    silos, sizes = [str(name) for name in table["silo"]], table["n_train"].to_numpy(dtype=float)
    least, most = f"{sizes.min():,.0f}", f"{sizes.max():,.0f}"
    pictures = [
        Picture(
            figures.silo_bars(silos, sizes, "Training samples"),
            f"Training samples of {len(silos)} silos: {least} to {most}, {sizes.sum():,.0f} in all.",
        ),
        Picture(
            figures.silo_bars(silos, score, f"{own.title} of its own model (dashed: average)", own.percent, average),
            f"{alt}.",
        ),
    ]
    return Section("Silos", [*pictures, content], note)


def consensus_section(history: pd.DataFrame) -> Section:
    """The silos' distance from each other, and what they sent, over the rounds."""
    first, last = history.iloc[0], history.iloc[-1]
    sent = figures.bits(float(last["message_bits"]))
    pictures = [
        Picture(
            figures.over_rounds(history, "consensus", "Distance from consensus"),
            f"Distance from consensus over the rounds, {first['consensus']:.4g} at first, "
            f"{last['consensus']:.4g} at last.",
        ),
        Picture(
            figures.over_rounds(history, "message_bits", "Sent by all silos so far", figures.bits),
            f"Bits sent by all silos over the rounds, {sent} in all.",
        ),
    ]
    note = "Root mean squared distance of the silos' weights from their mean, after the local steps of the round."
    return Section("Agreement and messages", pictures, note)


def settings_section(recipe: FederatedRecipe, silos: Mapping[str, int], history: pd.DataFrame) -> Section:
    """What was set, the telling part first."""
    federation, network = recipe.federation, recipe.network
    last = history.iloc[-1]
    facts: dict[str, Any] = {"mode": MODES[federation.mode]}
    if federation.mode == "dfl":
        facts["overlay"] = network.overlay
    if federation.mode != "cll":
        facts |= {"silos": len(silos), "topology": network.topology}
        column = f"the column {recipe.silos.column}"
        facts["samples dealt by"] = (
            column if recipe.silos.by == "column" else f"Dirichlet, alpha {recipe.silos.alpha:g}"
        )
    facts["rounds"] = federation.rounds
    facts["local steps in a round"] = federation.local_steps
    facts["batch size"] = recipe.fit.batch_size
    facts["a round, modelled"] = f"{1000 * float(last['modelled_s']) / float(last['round']):,.4g} ms on average"
    if federation.mode != "cll":
        facts["messages"] = "float32" if federation.compression == "none" else federation.compression
        facts["silos in a round"] = f"{100 * federation.participation:g} %"
        if federation.away:
            facts["away"] = federation.away
    everything = {
        f"{part}.{name}": value
        for part in ("federation", "silos", "network", "fit")
        for name, value in dataclasses.asdict(getattr(recipe, part)).items()
    }
    return Section("Settings", [facts_table(facts), details("All settings", facts_table(everything))])
