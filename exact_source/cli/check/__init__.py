"""``exact-source check``: everything that a sync needs, one line each, with a remedy for failures.

``command.py`` has the options, the order of the checks and the output. The other modules check and print
nothing: ``machine.py`` before any call, ``exact_online.py`` with calls, ``destination.py`` by writing. They
return ``Findings``, which have the exit code. Only ``command.py`` and ``findings.py`` are imported
before the command runs; the others import dlt.
"""

from .command import check

__all__ = ["check"]
