"""Exact Online into SQL, completely, cheaply, and without losing anything.

The names here load on first use: ``dlt`` takes seconds to import, and not all of them need it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .auth import (
        DltStateTokenStorage,
        FileTokenStorage,
        OAuth,
        SqlTokenStorage,
        TokenData,
        TokenStorage,
    )
    from .cli.ending import run_script
    from .entities.names import EntityName
    from .source import exact_online
    from .sync import run_to_end

_HOMES = {
    "EntityName": ".entities.names",
    "exact_online": ".source",
    "run_script": ".cli.ending",
    "run_to_end": ".sync",
    "OAuth": ".auth",
    "TokenData": ".auth",
    "TokenStorage": ".auth",
    "FileTokenStorage": ".auth",
    "DltStateTokenStorage": ".auth",
    "SqlTokenStorage": ".auth",
}

__all__ = [
    "DltStateTokenStorage",
    "EntityName",
    "FileTokenStorage",
    "OAuth",
    "SqlTokenStorage",
    "TokenData",
    "TokenStorage",
    "__version__",
    "exact_online",
    "run_script",
    "run_to_end",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)
