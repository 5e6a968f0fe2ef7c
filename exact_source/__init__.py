"""Loads Exact Online into SQL databases, completely and with few calls.

The names here are imported on first use: ``dlt`` takes seconds to import, and not all of them need it.
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
    from .catalogue.names import EntityName
    from .cli._output.exit import run_script
    from .loading.entity_resource import by_row
    from .source import exact_online
    from .sync.runner import run_to_end

_HOMES = {
    "EntityName": ".catalogue.names",
    "by_row": ".loading.entity_resource",
    "exact_online": ".source",
    "run_script": ".cli._output.exit",
    "run_to_end": ".sync.runner",
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
    "by_row",
    "exact_online",
    "run_script",
    "run_to_end",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)
