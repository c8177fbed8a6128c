"""An audit of drawn faces without any training: the answers are made up, the truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from kinesics.data.samples import Samples
from kinesics.data.synthetic.faces import draw_faces
from kinesics.studies.audit.evidence import Evidence
from kinesics.studies.audit.study import Audit, audit


def make_evidence(n: int = 40, flips: int = 8, names: list[str] | None = None) -> Evidence:
    """Evidence whose model sees the truth and whose first `flips` labels are wrong."""
    drawn = draw_faces(n, 5, size=24, faces_per_person=2)
    rng = np.random.default_rng(0)
    truth = np.asarray(drawn.label, dtype=np.int64)
    label, c = truth.copy(), len(drawn.classes)
    label[:flips] = (label[:flips] + 1) % c
    model = 0.7 * np.eye(c)[truth] + 0.3 * rng.dirichlet(np.ones(c), n)
    feature = np.eye(c)[truth] + 0.2 * rng.random((n, c))
    paths = np.array(names or [f"train/{i:03d}.png" for i in range(n)], dtype=object)
    extra = {"line": np.arange(2, n + 2), "group": np.array([str(g) for g in drawn.group], dtype=object)}
    samples = Samples(drawn.images, np.arange(n), {"label": label}, paths, drawn.classes, extra)
    return Evidence(samples, model, feature)


@pytest.fixture(scope="session")
def evidence() -> Evidence:
    """40 faces, the labels of the first 8 wrong."""
    return make_evidence()


@pytest.fixture(scope="session")
def found(evidence: Evidence) -> Audit:
    """The audit of `evidence`."""
    return audit(evidence, k=5)
