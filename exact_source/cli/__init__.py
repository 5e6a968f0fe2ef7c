"""The command ``exact-source``.

Modules here import only typer and the standard library at the top: dlt takes seconds to import, and
``--help`` must not pay them.
"""

from .app import main

__all__ = ["main"]
