"""Settings that every system shares: how images come in and how the one training loop runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kinesics.data.augment import AugmentConfig
from kinesics.errors import require
from kinesics.vision.crop import CropRule


@dataclass
class InputConfig:
    """How images are read before a model sees them."""

    size: int = 48
    """Side of the square model input in pixels."""
    crop: float = 0.0
    """Centred square that is cut out before resizing, as a share of the shorter side, in (0, 1]; 0 takes the whole
    image and doesn't keep its aspect. (FADNet's release: 200 of 320 x 240 pixels, 0.8333.)"""
    face: CropRule = field(default_factory=CropRule)
    """What is cut out around the boxes (`box_x` .. `box_h`) of a manifest that has them, by default the boxes."""
    channels: int = 1
    """1 for grey, 3 for RGB."""
    mean: float = 0.5
    """Subtracted from pixels in [0, 1]."""
    std: float = 0.25
    """Divides pixels after the mean is taken off."""
    valid_fraction: float = 0.1
    """Share of the training split held out for validation when the manifest has no `valid` split; groups stay whole."""
    on_bad_image: str = "error"
    """What an unreadable image does: "error" stops before training, "skip" leaves it out and lists it."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """Random changes of training images."""

    def __post_init__(self) -> None:
        require(8 <= self.size <= 1024, "--input.size", self.size, "between 8 and 1024 pixels")
        require(0 <= self.crop <= 1, "--input.crop", self.crop, "in [0, 1]")
        require(self.channels in (1, 3), "--input.channels", self.channels, "1 or 3")
        require(self.std > 0, "--input.std", self.std, "above 0")
        require(0 <= self.valid_fraction < 1, "--input.valid_fraction", self.valid_fraction, "in [0, 1)")
        require(self.on_bad_image in ("error", "skip"), "--input.on_bad_image", self.on_bad_image, "error or skip")


@dataclass
class FitConfig:
    """How the training loop runs."""

    epochs: int = 20
    """Passes over the training samples."""
    batch_size: int = 64
    """Samples in one optimiser step over all processes together (data-parallel runs split it)."""
    optimizer: str = "adamw"
    """adamw, adam or sgd."""
    lr: float = 3e-3
    """Peak learning rate."""
    weight_decay: float = 0.01
    """Decoupled for adamw; L2 for adam and sgd."""
    momentum: float = 0.9
    """Momentum of sgd."""
    schedule: str = "one_cycle"
    """one_cycle (cosine up, cosine down to 0), cosine (down to 0), step (x `decay` at `milestones`) or constant."""
    warmup: float = 0.2
    """Share of all steps in which one_cycle rises."""
    milestones: list[int] = field(default_factory=list)
    """Epochs at which the step schedule multiplies the rate by `decay`."""
    decay: float = 0.1
    """Factor of the step schedule."""
    precision: str = "auto"
    """fp32, bf16, fp16 (CUDA only) or auto: bf16 where the hardware multiplies it (AMX, CUDA >= 8.0), else fp32."""
    accumulate: int = 1
    """Micro-batches whose gradients make one optimiser step; `batch_size` counts them all."""
    clip_norm: float = 0.0
    """Largest gradient norm; 0 leaves gradients alone."""
    ema: float = 0.995
    """Decay of the exponential moving average of the weights that is judged and kept; 0 turns it off."""
    keep: str = "selected"
    """Which weights become the run's model: "selected" (best on validation) or "last"; both are written."""
    checkpoint_every: int = 0
    """Optimiser steps between checkpoints inside an epoch; 0 writes them at the ends of epochs only."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    threads: int = 0
    """CPU threads; 0 leaves PyTorch's choice. Bit-exact resume needs the same number."""

    def __post_init__(self) -> None:
        require(self.epochs >= 1, "--fit.epochs", self.epochs, "at least 1")
        require(self.batch_size >= 2, "--fit.batch_size", self.batch_size, "at least 2 (batch normalisation)")
        require(self.optimizer in ("adamw", "adam", "sgd"), "--fit.optimizer", self.optimizer, "adamw, adam or sgd")
        require(self.lr > 0, "--fit.lr", self.lr, "above 0")
        require(self.weight_decay >= 0, "--fit.weight_decay", self.weight_decay, "at least 0")
        schedules = ("one_cycle", "cosine", "step", "constant")
        require(self.schedule in schedules, "--fit.schedule", self.schedule, ", ".join(schedules))
        require(0 <= self.warmup < 1, "--fit.warmup", self.warmup, "in [0, 1)")
        precisions = ("auto", "fp32", "bf16", "fp16")
        require(self.precision in precisions, "--fit.precision", self.precision, ", ".join(precisions))
        require(self.accumulate >= 1, "--fit.accumulate", self.accumulate, "at least 1")
        require(
            self.batch_size % self.accumulate == 0 and self.batch_size // self.accumulate >= 2,
            "--fit.accumulate",
            self.accumulate,
            f"a divisor of --fit.batch_size ({self.batch_size}) that leaves at least 2 samples",
        )
        require(self.clip_norm >= 0, "--fit.clip_norm", self.clip_norm, "at least 0")
        require(0 <= self.ema < 1, "--fit.ema", self.ema, "in [0, 1)")
        require(self.keep in ("selected", "last"), "--fit.keep", self.keep, "selected or last")
        require(self.checkpoint_every >= 0, "--fit.checkpoint_every", self.checkpoint_every, "at least 0")
        require(self.threads >= 0, "--fit.threads", self.threads, "at least 0")


@dataclass
class Recipe:
    """A whole run: what `config.yaml` of a run directory holds and `kinesics train --config` reads."""

    system: str
    """Name of the registered system."""
    data: str
    """Manifest (CSV or Parquet)."""
    task: Any
    """The system's own config dataclass."""
    out: str = ""
    """Run directory; empty chooses runs/SYSTEM-K with the first free K."""
    seed: int = 0
    """Decides initial weights, order of samples, augmentation and splits."""
    preset: str = "default"
    """Which of the system's presets the defaults were taken from."""
    classes: list[str] | None = None
    """Class names in label order; others are left out. By default those found in the manifest."""
    weights: str | None = None
    """Start from these weights: a run directory, a file (own or torchvision format) or a shipped model's name."""
    input: InputConfig = field(default_factory=InputConfig)
    fit: FitConfig = field(default_factory=FitConfig)
