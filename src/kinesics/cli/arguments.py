"""Flags of the small verbs, with errors in the form of all other errors."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from kinesics.errors import UserError


class Parser(argparse.ArgumentParser):
    """argparse, but an error is a `UserError`, an unknown flag is answered with the closest known ones, and flags are
    written out in full.

    Args:
        settings: those of `argparse.ArgumentParser`.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **settings})

    def parse_args(self, args: Sequence[str], namespace: Any = None) -> Any:  # type: ignore[override]
        """The flags' values.

        Raises:
            UserError: an unknown flag, one that is missing, or a value of the wrong kind.
        """
        known = [name for action in self._actions for name in action.option_strings]
        for word in args:
            flag = word.split("=", 1)[0]
            if flag.startswith("--") and flag not in known and (close := get_close_matches(flag, known, n=2)):
                raise UserError(f"unknown flag {flag}", hint=f"did you mean {' or '.join(close)}?")
        return super().parse_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Raise `UserError` with argparse's message."""
        raise UserError(message, hint=f"{self.prog} --help lists the flags")
