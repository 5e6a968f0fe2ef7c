"""The command ``exact-source``.

A command is a module here, or a package if it has more than one subject: then ``command.py`` has its
options and output, and the other modules do the work.

A module with the options of a command imports only typer and the standard library at the top, and
everything else when the command runs: dlt takes seconds to import, which would slow down ``--help``.
"""

import sys

from ._output.start import SIGN, is_about_the_command, stopped_at_once


def main() -> None:
    """The command ``exact-source``."""
    with stopped_at_once():
        if not is_about_the_command(sys.argv[1:]):
            SIGN.show()
        from .app import main as run_command
    run_command()


__all__ = ["main"]
