"""What a message costs: the connectivity graph and the delay of each link of an overlay.

    d(i, j) = s T_c(i) + l(i, j) + max(M outdeg(i) / up, M indeg(j) / down, M / B(i, j))

(arXiv 2110.05754, "Designing the Overlay", with the access links of arXiv 2010.12229, eq. 3): s local steps of T_c(i)
each, latency l = 0.0085 ms per km + 4 ms, a model of M bits; silo i shares its access link among those it sends to,
silo j among those it hears; B(i, j) is the core's bandwidth divided by the number of links on the path.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kinesics.errors import UserError
from kinesics.federated.cycle_time import NO_LINK, maximum_cycle_mean, maximum_cycle_means
from kinesics.federated.silos import Float, Silos

Bool = NDArray[np.bool_]

LATENCY_MS_PER_KM = 0.0085
LATENCY_MS = 4.0


@dataclass(frozen=True)
class Connectivity:
    """What every possible link would cost; all in milliseconds.

    Attributes:
        silos: the N silos.
        compute: (N,) local computation of a round, s T_c(i).
        latency: (N, N).
        core: (N, N) sending a model through the core, M / B(i, j).
        up: sending a model over a silo's access link to one other.
        down: receiving one.
    """

    silos: Silos
    compute: Float
    latency: Float
    core: Float
    up: float
    down: float

    def __len__(self) -> int:
        return len(self.silos)

    def single(self) -> Float:
        """(N, N) delay of each link if every silo sends to one other and hears one; diagonal: computation only."""
        return self._with_sending(np.maximum(self.core, max(self.up, self.down)))

    def delay(self, adjacency: Bool) -> Float:
        """Delay of every link of an overlay.

        Args:
            adjacency: (N, N) True where i sends to j; or (K, N, N), several overlays.

        Returns:
            of the same shape, `NO_LINK` where there is no link; the diagonal is the computation, since a silo waits
            for itself.
        """
        out, into = adjacency.sum(axis=-1)[..., :, None], adjacency.sum(axis=-2)[..., None, :]
        sending = np.maximum(np.maximum(out * self.up, into * self.down), self.core)
        return np.where(adjacency | np.eye(len(self), dtype=bool), self._with_sending(sending), NO_LINK)

    def cycle_ms(self, adjacency: Bool) -> float:
        """Milliseconds a round takes on an overlay.

        Args:
            adjacency: (N, N) True where i sends to j.
        """
        return maximum_cycle_mean(self.delay(adjacency))

    def cycle_ms_of_many(self, adjacency: Bool) -> Float:
        """The same for several overlays at once.

        Args:
            adjacency: (K, N, N).

        Returns:
            (K,) milliseconds.
        """
        return maximum_cycle_means(self.delay(adjacency))

    def _with_sending(self, sending: Float) -> Float:
        total = self.compute[:, None] + self.latency + sending
        here = np.arange(len(self))
        total[..., here, here] = self.compute
        return np.asarray(total)


def connect(
    silos: Silos,
    model_bits: float,
    compute_ms: float | None,
    access_bps: float,
    core_bps: float,
    local_steps: int = 1,
    download_bps: float | None = None,
) -> Connectivity:
    """Model the network between silos.

    Args:
        silos: where they are; their own `compute_ms` goes before the argument.
        model_bits: size M of a message.
        compute_ms: T_c, one local step, for silos that don't say it themselves.
        access_bps: bit/s from a silo into the network (and back, see `download_bps`).
        core_bps: bit/s of each link inside the network.
        local_steps: s, local steps in a round.
        download_bps: bit/s from the network to a silo, if not `access_bps`.

    Raises:
        UserError: a value is missing, not finite, or not positive.
    """
    for name, value in (("model-bits", model_bits), ("access-bps", access_bps), ("core-bps", core_bps)):
        _check(name, value, positive=True)
    if download_bps is not None:
        _check("download-bps", download_bps, positive=True)
    if local_steps < 1:
        raise UserError(f"--local-steps must be 1 or more, got {local_steps}")
    step = silos.compute_ms
    if step is None:
        if compute_ms is None:
            raise UserError("--compute-ms is missing", hint="or give the silos' file a compute_ms for each silo")
        _check("compute-ms", compute_ms, positive=False)
        step = np.full(len(silos), float(compute_ms))
    latency = LATENCY_MS_PER_KM * silos.distance_km + LATENCY_MS
    np.fill_diagonal(latency, 0.0)
    return Connectivity(
        silos=silos,
        compute=local_steps * step,
        latency=latency,
        core=np.asarray(1000 * model_bits / core_bps * silos.hops, dtype=np.float64),
        up=1000 * model_bits / access_bps,
        down=1000 * model_bits / (download_bps or access_bps),
    )


def _check(name: str, value: float, positive: bool) -> None:
    if not math.isfinite(value) or value < 0 or (positive and value == 0):
        raise UserError(f"--{name} must be {'a positive' if positive else 'zero or a positive'} number, got {value:g}")
