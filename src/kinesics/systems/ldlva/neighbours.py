"""Who is near whom in valence-arousal space, and where valence-arousal comes from."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from sklearn.neighbors import NearestNeighbors

from kinesics.data.emotions import circumplex_coordinates
from kinesics.data.samples import Samples
from kinesics.data.splits import folds
from kinesics.engine.classifier import Classifier, ClassifierConfig, probabilities
from kinesics.engine.device import choose_device, choose_precision
from kinesics.engine.fit import predict_all, step_seed
from kinesics.engine.task import DataSpec, Preparation
from kinesics.errors import UserError
from kinesics.systems.ldlva.config import LDLVAConfig

log = logging.getLogger("kinesics")


@dataclass(frozen=True)
class Neighbourhood:
    """Positions of the training samples in the auxiliary space.

    Args:
        position: (N, 2) valence and arousal in [-1, 1], or (N, C) distributions.
        source: "columns", "teacher" or "votes".
        teacher: (N, C) out-of-fold predictions where there was a teacher.
        judging_votes: (N, C) the half of the votes that was not used, where votes were.
    """

    position: np.ndarray
    source: str
    teacher: np.ndarray | None = None
    judging_votes: np.ndarray | None = None


def nearest(position: np.ndarray, k: int) -> np.ndarray:
    """The K nearest other samples of each sample (Euclidean, exact).

    Args:
        position: (N, d).
        k: neighbours wanted, at most N - 1.

    Returns:
        (N, K) int64, nearest first; never the sample itself, even among exact duplicates.

    Raises:
        UserError: fewer than K other samples.
    """
    n = len(position)
    if n <= k:
        raise UserError(f"--task.k {k} neighbours need more than {k} training samples; got {n}")
    _, found = NearestNeighbors(n_neighbors=k + 1).fit(position).kneighbors(position)
    itself = found == np.arange(n)[:, None]
    # Among many equal positions the sample may not be in its own list: the farthest entry goes instead.
    itself[~itself.any(1), -1] = True
    return found[~itself].reshape(n, k)


def locate(
    config: LDLVAConfig, train: Samples, make_teacher: Callable[[], Classifier], preparation: Preparation
) -> Neighbourhood:
    """Place the training samples in the auxiliary space by the source that the settings name.

    Args:
        config: `source` and `space` decide.
        train: "valence_arousal" for columns, "votes" for votes.
        make_teacher: a fresh cross-entropy classifier of the same backbone.
        preparation: trains it.

    Raises:
        UserError: the source was asked for and the data don't have it.
    """
    given = train.columns.get("valence_arousal")
    complete = given is not None and bool(np.isfinite(given).all())
    source = config.source
    if source == "auto":
        source = "columns" if complete and config.space == "valence_arousal" else "teacher"
        if given is not None and not complete:
            missing = int((~np.isfinite(given).all(1)).sum())
            log.info("%d training rows have no valence-arousal: it comes from a teacher instead", missing)
    if source == "columns":
        if given is None or not complete:
            missing = len(train) if given is None else int((~np.isfinite(given).all(1)).sum())
            raise UserError(
                f"--task.source columns needs valence and arousal in every training row; {missing} rows have none",
                hint="use --task.source teacher",
            )
        return Neighbourhood(np.asarray(given, dtype=np.float64), source)
    if source == "votes":
        votes = train.columns.get("votes")
        if votes is None or not np.isfinite(votes).all():
            raise UserError(
                "--task.source votes needs whole-number p_<class> votes in every training row",
                hint="use --task.source teacher",
            )
        rng = np.random.default_rng(step_seed(preparation.seed, 4))
        used, judging = split_votes(votes, rng)
        return Neighbourhood(project(config, used, train.classes), source, judging_votes=judging)
    predicted = out_of_fold(config, train, make_teacher, preparation)
    return Neighbourhood(project(config, predicted, train.classes), "teacher", teacher=predicted)


def split_votes(votes: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Deal each sample's votes at random into two halves (the first gets the odd one), as distributions.

    Args:
        votes: (N, C) whole numbers; each row has at least 2 votes.

    Returns:
        Two (N, C) float64 arrays whose rows sum to 1.
    """
    whole = np.rint(votes).astype(np.int64)
    total = whole.sum(1)
    if len(whole) and total.min() < 2:
        raise UserError(f"--task.source votes needs at least 2 votes a sample; the fewest are {int(total.min())}")
    first = np.stack([rng.multivariate_hypergeometric(row, (n + 1) // 2) for row, n in zip(whole, total, strict=True)])
    second = whole - first
    return first / first.sum(1, keepdims=True), second / second.sum(1, keepdims=True)


def out_of_fold(
    config: LDLVAConfig, train: Samples, make_teacher: Callable[[], Classifier], preparation: Preparation
) -> np.ndarray:
    """(N, C) predictions of cross-entropy models, each for the samples that it was not trained on.

    No label teaches its own sample: a wrong label can't vouch for itself.

    Raises:
        UserError: a teacher diverged.
    """
    n_folds = min(config.teacher_folds, len(train))
    fold = folds(len(train), n_folds, train.columns["label"], train.extra.get("group"), preparation.seed)
    epochs = min(config.teacher_epochs, preparation.config.epochs)
    settings = replace(preparation.config, epochs=epochs)
    predicted = np.zeros((len(train), len(train.classes)))
    precision = choose_precision(settings, choose_device(settings.device))
    for part in range(n_folds):
        inside, outside = np.flatnonzero(fold == part), np.flatnonzero(fold != part)
        torch.manual_seed(step_seed(preparation.seed, 5, part))
        teacher = make_teacher()
        preparation.fit(f"teacher {part + 1} of {n_folds}", teacher, train.subset(outside), settings)
        answers = predict_all(teacher, train.subset(inside), 2 * settings.batch_size, precision)
        predicted[inside] = probabilities(answers)
        if not np.isfinite(predicted[inside]).all():
            raise UserError(
                f"teacher {part + 1} of {n_folds} answers with numbers that are not finite: its training diverged",
                hint=f"lower --fit.lr (now {settings.lr:g})",
            )
    return predicted


def teacher_classifier(config: LDLVAConfig, spec: DataSpec, task: Classifier) -> Classifier:
    """A fresh plain classifier of the same backbone and augmentation as `task`."""
    teacher = Classifier(ClassifierConfig(backbone=config.backbone, stem=config.stem), spec)
    teacher._augment = task._augment
    return teacher


def project(config: LDLVAConfig, distribution: np.ndarray, classes: tuple[str, ...]) -> np.ndarray:
    """(N, C) distributions -> (N, 2) circumplex coordinates, or themselves where `space` is "distribution"."""
    if config.space == "distribution":
        return distribution
    return distribution @ circumplex_coordinates(classes).astype(np.float64)
