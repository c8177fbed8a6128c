"""networkx, which comes with the extra `federated`."""

from __future__ import annotations

from typing import Any

from kinesics.errors import UserError


def require_networkx() -> Any:
    """The module networkx.

    Raises:
        UserError: it is not installed.
    """
    try:
        import networkx
    except ImportError as error:
        raise UserError(
            "designing a topology needs networkx, which is not installed", hint="pip install kinesics[federated]"
        ) from error
    return networkx
