"""The answers' forms, for the OpenAPI description."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FaceRecord(_Closed):
    """One face."""

    track: int | None = Field(None, description="Number of the person in a video.")
    box: list[float] | None = Field(
        None, min_length=4, max_length=4,
        description="x, y, width, height in pixels of the upright original; absent where the picture is one face.",
    )  # fmt: skip
    label: str = Field(description="Class of the highest probability.")
    confidence: float = Field(ge=0, le=1, description="Calibrated probability of the label.")
    uncertainty: float = Field(ge=0, le=1, description="Entropy of the distribution over log(number of classes).")
    distribution: dict[str, float] = Field(description="Class to calibrated probability.")
    valence: float | None = Field(None, ge=-1, le=1)
    arousal: float | None = Field(None, ge=-1, le=1)
    projection: bool | None = Field(
        None, description="Whether valence and arousal are only the distribution's mean over the classes' places."
    )


class PhotoRecord(_Closed):
    """The answer about a photograph; no face is an answer, too."""

    kind: Literal["photo"]
    width: int = Field(description="Of the upright original, in pixels.")
    height: int
    faces: list[FaceRecord] = Field(description="From the left to the right.")
    seconds: dict[str, float] = Field(description="Time spent on decode, detect, recognise.")


class FrameRecord(_Closed):
    """One frame of a video."""

    frame: int = Field(description="Number in the video, from 0.")
    time: float = Field(description="Seconds from the video's start.")
    width: int | None = Field(None, description="Where the frame's size differs from the first one's.")
    height: int | None = None
    faces: list[FaceRecord]


class TrackRecord(_Closed):
    """A person in a video, as a whole."""

    track: int
    start: float = Field(description="Seconds.")
    end: float
    frames: int
    label: str
    distribution: dict[str, float] = Field(description="Mean over the track's frames.")
    uncertainty: float = Field(description="Mean of the frames' uncertainties.")


class VideoRecord(_Closed):
    """The answer about a video."""

    kind: Literal["video"]
    width: int
    height: int
    rate: float = Field(description="Frames a second by the header; 0 where it is silent.")
    duration: float = Field(description="Seconds by the header; 0 where it is silent.")
    frames: list[FrameRecord]
    tracks: list[TrackRecord]
    truncated: str | None = Field(description="Which bound ended the answer early; null where none did.")
    seconds: dict[str, float] = Field(description="Time spent on decode, detect, track, recognise.")


class ErrorRecord(_Closed):
    """Why there is no answer."""

    code: str = Field(description="A word for programs.")
    message: str
    hint: str | None = None
    retry_after: int | None = Field(None, description="Seconds.")


class ErrorAnswer(_Closed):
    """The body of every 4xx and 5xx."""

    error: ErrorRecord


class HealthRecord(_Closed):
    """Whether the service works."""

    status: Literal["ok", "stopping"]
    version: str


class AboutRecord(_Closed):
    """The model and the bounds of this service."""

    model: str
    version: str
    classes: list[str]
    circumplex: dict[str, tuple[float, float]] = Field(description="Valence and arousal of the classes, in [-1, 1].")
    limits: dict[str, float]
    reads: str
