"""What a client is told when a request is not answered: a status, a word for programs, a sentence for people."""

from __future__ import annotations

from typing import Any


class Refusal(Exception):
    """A request that is not answered.

    Args:
        status: HTTP status.
        code: a word that stays the same between versions.
        message: what was got and what is expected; never a path of this machine.
        hint: how to mend it.
        retry_after: seconds after which to try again, for 429 and 503.
    """

    def __init__(self, status: int, code: str, message: str, hint: str = "", retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.hint, self.retry_after = status, code, message, hint, retry_after

    def to_dict(self) -> dict[str, Any]:
        """The body of the answer."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.hint:
            error["hint"] = self.hint
        if self.retry_after is not None:
            error["retry_after"] = self.retry_after
        return {"error": error}

    @property
    def headers(self) -> dict[str, str]:
        """`Retry-After`, where there is a time."""
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
