"""Settings of a federation, whatever it trains."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kinesics.engine.config import Recipe, require
from kinesics.errors import UserError

MODES = ("dfl", "sfl", "cll")


@dataclass(frozen=True)
class Absence:
    """A silo that is away for some rounds.

    Args:
        silo: its name.
        start, stop: rounds start .. stop - 1, counted from 0.
    """

    silo: str
    start: int
    stop: int

    @classmethod
    def parse(cls, text: str) -> Absence:
        """Read "SILO:FROM-TO", as in "gaia-3:100-200".

        Raises:
            UserError: of another form, or it ends before it begins.
        """
        silo, _, span = text.rpartition(":")
        first, _, last = span.partition("-")
        if not silo or not first.isdigit() or not last.isdigit() or int(last) <= int(first):
            raise UserError(
                f"--federation.away {text!r} must be SILO:FROM-TO with whole rounds, FROM below TO",
                hint="for example --federation.away '[Sydney:100-200]'",
            )
        return cls(silo, int(first), int(last))


@dataclass
class FederationConfig:
    """How silos train together."""

    mode: str = "dfl"
    """dfl: peers mix with their neighbours in an overlay (the text); sfl: a server averages (FedAvg); cll: all samples
    in one place."""
    rounds: int = 3000
    """Communication rounds; in each, silos mix once and then take `local_steps`."""
    local_steps: int = 1
    """Mini-batch steps between two mixings, the text's s."""
    participation: float = 1.0
    """Share of the silos that take part in a round, drawn anew each round, in (0, 1]."""
    away: list[str] = field(default_factory=list)
    """Silos that drop out and return: SILO:FROM-TO, rounds counted from 0, TO excluded."""
    proximal: float = 0.0
    """FedProx's mu (Li et al. 2020): pull of mu / 2 ||theta - theta_mixed||^2 towards the weights after the mixing."""
    weighting: str = "uniform"
    """What a silo counts in the mixing and in the final average: "uniform", or "size" for its share of the samples
    (peers then agree on the mean weighted by size)."""
    batches: str = "equal"
    """Samples in a silo's step: "equal", `fit.batch_size` in each, or "size": that many on average, shared out by the
    silos' samples (at least 2), so that all go through their samples equally often."""
    batch_norm: str = "mixed"
    """Running statistics of normalisation layers: "mixed" like weights; "local" (the released code; Andreux et al.
    2020); "renorm": mixed, and used in training too (batch renormalisation, Ioffe 2017), for skewed silos and small
    batches; "moving": so, and in the backward pass moving averages of the gradients' statistics, mixed too, take the
    place of a batch's own (Yan et al. 2020)."""
    preparation: str = "local"
    """What a system trains before the first round (LDLVA's teachers): "local", by each silo for itself, or "joint", by
    all silos in the way that the rest of the federation goes; its time and bits are counted."""
    moments: str = "local"
    """Moments that optimisers keep of the shared weights: "local", each silo's own (the text), or "mixed" like the
    weights and sent with them, so that skewed silos step as one place would (Chen et al. 2022)."""
    ema: float = 0.0
    """Decay in [0, 1) of a running average over rounds that every silo keeps of its weights; the averages are judged
    and kept, and nothing of them is sent. 0 judges the weights themselves (the text)."""
    compression: str = "none"
    """Messages: none (float32), fp16, or topk (largest entries with error feedback)."""
    topk_share: float = 0.01
    """Share of the values in a topk message."""
    topk_step: float = 0.1
    """Consensus step of topk, in (0, 1]."""
    evaluate_every: int = 100
    """Rounds between two judgements of the average of all silos; the last round is always judged."""
    checkpoint_every: int = 100
    """Rounds between checkpoints."""

    def __post_init__(self) -> None:
        require(self.mode in MODES, "--federation.mode", self.mode, ", ".join(MODES))
        require(self.rounds >= 1, "--federation.rounds", self.rounds, "at least 1")
        require(self.local_steps >= 1, "--federation.local_steps", self.local_steps, "at least 1")
        require(0 < self.participation <= 1, "--federation.participation", self.participation, "in (0, 1]")
        require(self.proximal >= 0, "--federation.proximal", self.proximal, "at least 0")
        require(self.weighting in ("uniform", "size"), "--federation.weighting", self.weighting, "uniform or size")
        require(self.batches in ("equal", "size"), "--federation.batches", self.batches, "equal or size")
        require(0 <= self.ema < 1, "--federation.ema", self.ema, "in [0, 1)")
        norms = ("mixed", "local", "renorm", "moving")
        require(self.batch_norm in norms, "--federation.batch_norm", self.batch_norm, ", ".join(norms))
        require(self.preparation in ("local", "joint"), "--federation.preparation", self.preparation, "local or joint")
        require(self.moments in ("local", "mixed"), "--federation.moments", self.moments, "local or mixed")
        kinds = ("none", "fp16", "topk")
        require(self.compression in kinds, "--federation.compression", self.compression, ", ".join(kinds))
        if self.moments == "mixed" and self.compression != "none":
            raise UserError(
                f"--federation.moments mixed can't be had with --federation.compression {self.compression}: what is "
                "smallest in second moments matters most, and would be lost",
                hint="give one of the two",
            )
        if self.batch_norm == "moving" and self.compression != "none":
            raise UserError(
                f"--federation.batch_norm moving can't be had with --federation.compression {self.compression}: its "
                "averages of gradients are small and must not be rounded",
                hint="give --federation.batch_norm renorm, or no compression",
            )
        require(0 < self.topk_share <= 1, "--federation.topk_share", self.topk_share, "in (0, 1]")
        require(0 < self.topk_step <= 1, "--federation.topk_step", self.topk_step, "in (0, 1]")
        require(self.evaluate_every >= 1, "--federation.evaluate_every", self.evaluate_every, "at least 1")
        require(self.checkpoint_every >= 1, "--federation.checkpoint_every", self.checkpoint_every, "at least 1")
        for text in self.away:
            Absence.parse(text)


@dataclass
class PartitionConfig:
    """Which sample belongs to which silo."""

    by: str = "column"
    """column: a column of the manifest names the silo; dirichlet: samples are dealt with a skew of the classes."""
    column: str = "silo"
    """The column that names the silo."""
    n: int = 0
    """Silos that dirichlet deals to; 0 takes as many as the topology has."""
    alpha: float = 0.5
    """Dirichlet's concentration: 0.1 gives a silo few classes, 100 nearly equal shares."""

    def __post_init__(self) -> None:
        require(self.by in ("column", "dirichlet"), "--silos.by", self.by, "column or dirichlet")
        require(self.n == 0 or self.n >= 2, "--silos.n", self.n, "at least 2, or 0 for the topology's")
        require(self.alpha > 0, "--silos.alpha", self.alpha, "above 0")


@dataclass
class NetworkConfig:
    """Where the silos are and who exchanges with whom."""

    topology: str = "gaia"
    """Built-in table (gaia, nws), or a file (.gml, .graphml, .csv); see kinesics topology design."""
    overlay: str = "christofides-ring"
    """Overlay that peers mix over: christofides-ring (the text), best-ring, two-way-ring, mst, delta-mbst, complete,
    least-cycle or soonest-consensus; kinesics topology design compares them. none: no exchange at all; silos.csv then
    says what each silo gets by itself, and the average of all means little."""
    access_bps: float = 1e10
    """Bit/s between a silo and the network."""
    core_bps: float = 1e9
    """Bit/s of a link inside the network."""
    compute_ms: float = 0.0
    """Milliseconds of one local step in the model of time; 0 takes what this machine needs."""

    def __post_init__(self) -> None:
        require(self.access_bps > 0, "--network.access_bps", self.access_bps, "above 0")
        require(self.core_bps > 0, "--network.core_bps", self.core_bps, "above 0")
        require(self.compute_ms >= 0, "--network.compute_ms", self.compute_ms, "at least 0")


@dataclass
class FederatedRecipe(Recipe):
    """A whole federation: what `config.yaml` of its run directory holds."""

    federation: FederationConfig = field(default_factory=FederationConfig)
    silos: PartitionConfig = field(default_factory=PartitionConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)


def add_flags(parser: Any) -> None:
    """Turn a system's parser (`systems/recipe.py`) into that of `kinesics federate`."""
    parser.prog = parser.prog.replace("train", "federate")
    parser.add_class_arguments(FederationConfig, "federation")
    parser.add_class_arguments(PartitionConfig, "silos")
    parser.add_class_arguments(NetworkConfig, "network")
