"""Settings of a federation, whatever it trains."""

from __future__ import annotations

from dataclasses import dataclass, field

from kinesics.engine.config import require
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
    """What a silo counts in the common weights: "uniform", or "size" for its share of the samples."""
    batch_norm: str = "mixed"
    """Running statistics of normalisation layers: "mixed" like weights, or "local" (the released code; Andreux et al.
    2020)."""
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
        require(self.batch_norm in ("mixed", "local"), "--federation.batch_norm", self.batch_norm, "mixed or local")
        kinds = ("none", "fp16", "topk")
        require(self.compression in kinds, "--federation.compression", self.compression, ", ".join(kinds))
        require(0 < self.topk_share <= 1, "--federation.topk_share", self.topk_share, "in (0, 1]")
        require(0 < self.topk_step <= 1, "--federation.topk_step", self.topk_step, "in (0, 1]")
        require(self.evaluate_every >= 1, "--federation.evaluate_every", self.evaluate_every, "at least 1")
        require(self.checkpoint_every >= 1, "--federation.checkpoint_every", self.checkpoint_every, "at least 1")
        for text in self.away:
            Absence.parse(text)
