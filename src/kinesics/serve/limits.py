"""What one request may cost, and how many may wait."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any

from kinesics.errors import UserError


def _bound(default: float, meaning: str, least: float = 0.0, above: bool = False, most: float = float("inf")) -> Any:
    """A field with its meaning, and the least (`above`: must exceed) and the largest value that it may have."""
    return field(default=default, metadata={"meaning": meaning, "least": least, "above": above, "most": most})


@dataclass(frozen=True)
class Limits:
    """Bounds of the service; what exceeds one is answered with a status of 400 to 503, never tried.

    Each field is a flag of `kinesics serve`; what it means is in its metadata.
    """

    megabytes: float = _bound(64.0, "largest upload in MiB", above=True)
    megapixels: float = _bound(30.0, "largest photograph in millions of pixels, by its header", above=True)
    film_megapixels: float = _bound(9.0, "largest frame of a video, likewise (4K has 8.3)", above=True)
    side: int = _bound(1600, "longer side in pixels to which photographs are reduced before they are searched", 64)
    film_side: int = _bound(960, "the same for the frames of a video", 64)
    film_seconds: float = _bound(120.0, "longest stretch of a video in one request", above=True)
    frames: int = _bound(3000, "most frames answered in one request", 1)
    upload_seconds: float = _bound(60.0, "time for a whole upload", above=True)
    idle_seconds: float = _bound(10.0, "longest pause within an upload", above=True)
    photo_seconds: float = _bound(30.0, "time until a photograph is answered, waiting included", above=True)
    work_seconds: float = _bound(180.0, "time that a video is worked on; it may wait as long before", above=True)
    workers: int = _bound(2, "photographs that are searched at the same time", 1, most=64)
    queue: int = _bound(64, "photographs that may wait")
    film_workers: int = _bound(1, "videos that are worked on at the same time", 1, most=64)
    film_queue: int = _bound(4, "videos that may wait")
    batch: int = _bound(64, "faces of several requests in one forward pass", 1)
    batch_seconds: float = _bound(0.004, "how long a batch waits for more faces")

    def __post_init__(self) -> None:
        for item in fields(self):
            value, least, most = getattr(self, item.name), item.metadata["least"], item.metadata["most"]
            if not (value > least if item.metadata["above"] else value >= least) or value > most:
                flag = "--" + item.name.replace("_", "-")
                word = f"above {least:g}" if item.metadata["above"] else f"{least:g} or more"
                word = word if math.isinf(most) else f"from {least:g} to {most:g}"
                raise UserError(f"{flag} must be {word}; got {value!r}")

    @property
    def bytes(self) -> int:
        """Largest upload in bytes."""
        return int(self.megabytes * 2**20)

    @property
    def pixels(self) -> int:
        """Largest photograph in pixels."""
        return int(self.megapixels * 1e6)

    @property
    def film_pixels(self) -> int:
        """Largest frame in pixels."""
        return int(self.film_megapixels * 1e6)
