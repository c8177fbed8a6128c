"""What a study is: methods x conditions x schedules x seeds under one protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Settings = Mapping[str, Any]
"""Recipe settings by dotted name, as on the command line: {"fit.epochs": 10}."""

NOISE_KINDS = ("none", "symmetric", "class_dependent")
SAMPLINGS = ("random", "stratified")
VOTES = "votes"
"""In place of a label column: the class with most votes (`p_<class>`)."""


@dataclass(frozen=True)
class Noise:
    """Labels that are made wrong on purpose, in the training and the validation split."""

    kind: str = "none"
    """none, symmetric (every other class is as likely) or class_dependent (`transition` says)."""
    share: float = 0.0
    """Share of the labels that become wrong, in [0, 1]."""
    transition: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Of class_dependent: class -> {class: share}, what a flipped label becomes; every row sums to 1."""


@dataclass(frozen=True)
class Condition:
    """On what data methods are compared."""

    data: str = ""
    """Manifest, or a name under the study's `data`; empty takes the study's only one."""
    text: str = ""
    """One line for tables; empty shows the condition's name."""
    label_column: str = ""
    """Column that training and validation labels are taken from, in place of `label`; or `votes` for the class with
    most votes."""
    test_label_column: str = ""
    """Column that test labels are taken from, in place of `label`."""
    truth_column: str = "label"
    """Column with the true labels, that wrong training labels are told by."""
    noise: Noise = field(default_factory=Noise)
    """Flips, after `label_column`."""
    n_train: int = 0
    """Training samples, drawn by the seed; 0 takes all."""
    sampling: str = "random"
    """How they are drawn: random, or stratified (every class in its proportion)."""
    test_data: str = ""
    """Another manifest (or name under `data`) whose test rows are judged instead; classes in common are compared."""
    class_map: Mapping[str, str] = field(default_factory=dict)
    """Class of `test_data` -> class of `data`, where names alone don't tell."""
    settings: Settings = field(default_factory=dict)
    """Recipe settings of this condition, for all methods."""
    method_settings: Mapping[str, Settings] = field(default_factory=dict)
    """Method -> recipe settings for that method in this condition."""
    silos: Settings = field(default_factory=dict)
    """Of federated methods: settings of `silos`, such as {by: dirichlet, n: 8, alpha: 0.5}."""
    network: Settings = field(default_factory=dict)
    """Of federated methods: settings of `network`, such as {topology: nws}."""

    @property
    def derived(self) -> bool:
        """Whether the manifest is not used as it stands."""
        changed = self.label_column or self.test_label_column or self.n_train or self.test_data
        return bool(changed) or self.truth_column != "label" or self.noise.kind != "none"


@dataclass(frozen=True)
class Method:
    """What is compared: a system and its settings."""

    system: str = ""
    """Registered system; empty takes the method's own name."""
    preset: str = "default"
    """Where its defaults come from."""
    text: str = ""
    """Its name in tables; empty shows the method's name."""
    config: Settings = field(default_factory=dict)
    """Settings out of a YAML recipe, given by its path from the study's file; they go before `common`."""
    settings: Settings = field(default_factory=dict)
    """Recipe settings; they go after `common` and the schedule's."""
    federate: Settings | None = None
    """Settings of `federation`, `silos` and `network`: the method is trained across silos. None: in one place."""


@dataclass(frozen=True)
class Study:
    """Methods x conditions x schedules x seeds; what STUDY.yaml holds."""

    name: str
    """Stem of the file."""
    title: str
    """Of tables and the page."""
    methods: Mapping[str, Method]
    """Name -> what is compared."""
    conditions: Mapping[str, Condition]
    """Name -> on what."""
    text: str = ""
    """What the study asks; an empty line starts a new paragraph."""
    source: str = ""
    """Where it was published, and what was found there."""
    data: Mapping[str, str] = field(default_factory=dict)
    """Name -> manifest; a single manifest without a name is under ""."""
    out: str = ""
    """Folder of the study; empty takes runs/NAME."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """A cell each."""
    common: Settings = field(default_factory=dict)
    """Recipe settings that all methods share; `config:` among them names a YAML file with some."""
    schedules: Mapping[str, Settings] = field(default_factory=lambda: {"default": {}})
    """Name -> settings of `fit` (or `federation`), such as {fit.epochs: 30}."""
    baseline: str = ""
    """Method that differences and tests are relative to; empty takes the first."""
