"""What an exported file says of itself: a JSON text inside it, the same for ONNX and torch.export."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from kinesics.engine.answers import KINDS, Kind
from kinesics.errors import UserError
from kinesics.inference.reader import InputForm
from kinesics.vision.crop import CropRule

KEY = "kinesics"
"""Name of the text among an ONNX file's metadata_props; torch.export's extra file is called KEY.json."""

FORMAT = 1
"""Version of the text; a newer one is refused."""


@dataclass(frozen=True)
class Description:
    """All that is needed to use an exported graph, and where it comes from."""

    system: str
    """Name of the system that trained it."""
    answer: str
    """Kind of its answers, a name in `engine.answers.KINDS`."""
    classes: tuple[str, ...]
    """Class names in the order of the probabilities; empty for numbers."""
    input: dict[str, Any]
    """size, channels, crop, face (the crop rule around faces, or None), finds (as in `InputForm`), and for people: mean
    and std (inside the graph), layout, dtype, resizing."""
    inputs: dict[str, list[int]]
    """Name of each input of the graph -> its shape without the batch."""
    calibration: dict[str, float]
    """What calibrates the answers (its temperature is inside the graph), and how uncertain they are."""
    kinesics: str
    """Version that exported it."""
    sha256: str
    """Of the weights file (model.safetensors) that was exported."""
    precision: str = "fp32"
    """fp32 or int8."""
    quantisation: dict[str, Any] = field(default_factory=dict)
    """How an int8 graph was made."""

    @property
    def kind(self) -> Kind:
        """The outputs of the graph, and how they become answers."""
        return KINDS[self.answer]

    @property
    def form(self) -> InputForm:
        """What the graph is to be shown."""
        told = self.input
        face = CropRule.of(told.get("face"))
        return InputForm(told["size"], told["channels"], told["crop"], face, bool(told.get("finds", face is not None)))

    def to_json(self) -> str:
        """The text."""
        return json.dumps({"format": FORMAT, **asdict(self)}, sort_keys=True, ensure_ascii=True)

    @classmethod
    def from_json(cls, text: str | None, name: str) -> Description:
        """Read the text.

        Args:
            text: None where the file has none.
            name: of the file, for messages.

        Raises:
            UserError: no text, not ours, of a newer format, or of a kind that this version doesn't know.
        """
        if text is None:
            raise UserError(
                f"{name} is an ONNX model, but not one that kinesics exported: it doesn't say what it takes and gives",
                hint="kinesics export RUN --format onnx makes one",
            )
        try:
            content = json.loads(text)
            version = content.pop("format")
            if version > FORMAT:
                raise UserError(f"it has format {version}; this kinesics reads up to {FORMAT}", hint="update kinesics")
            found = cls(**{**content, "classes": tuple(content["classes"])})
            form = found.form
            sound = form.size > 0 and form.channels in (1, 3) and 0 <= form.crop <= 1 and found.inputs is not None
            if not all(isinstance(value, int | float) for value in found.calibration.values()):
                raise UserError(f"its calibration is {found.calibration}; expected numbers")
        except UserError as error:
            raise UserError(f"{name}: {error.message}", hint=error.hint) from error
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise UserError(f"{name}: what it says of itself can't be read: {error!r}"[:300]) from error
        if not sound or found.answer not in KINDS:
            raise UserError(
                f"{name} answers with {found.answer!r} for {found.input}; this kinesics reads {', '.join(KINDS)}",
                hint="update kinesics, or export the run again",
            )
        return found
