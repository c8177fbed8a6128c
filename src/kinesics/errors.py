"""The one exception that speaks to the user, and its form for parameters."""

from __future__ import annotations


class UserError(Exception):
    """Bad input of any kind: a file, a flag, a value.

    The command line prints it without a traceback and ends with exit code 2.

    Args:
        message: what was got, where, and what was expected instead.
        hint: how to mend it; printed on a line of its own.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n  {self.hint}"


def require(condition: bool, flag: str, got: object, expected: str) -> None:
    """Raise the one form of a parameter error: the flag, the value got, the accepted set."""
    if not condition:
        raise UserError(f"{flag} must be {expected}; got {got!r}")
