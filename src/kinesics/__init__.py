"""kinesics: human expression in the wild. Train, judge and use models that answer with distributions.

>>> import kinesics
>>> run = kinesics.train("ldlva", data="faces/manifest.csv")       # doctest: +SKIP
>>> kinesics.load(run.folder)("face.png")[0].distribution          # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kinesics.api import evaluate, train
    from kinesics.inference.loading import load

__version__ = "0.1.0"
__all__ = ["__version__", "evaluate", "load", "train"]

_HOMES = {"train": "kinesics.api", "evaluate": "kinesics.api", "load": "kinesics.inference.loading"}


def __getattr__(name: str) -> Any:
    """Import the public functions when first used, so that `import kinesics` is instant."""
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'kinesics' has no attribute {name!r}")
