"""``exact-source check``: everything a sync needs, one line each, and what to do about failures.

``command.py`` has the options, the order of the checks and what a person sees. The others find out, and
show nothing: ``machine.py`` before any call, ``exact_online.py`` by asking, ``destination.py`` by writing.
They hand ``Findings`` on, which know the exit code. Only ``command.py`` and ``findings.py`` are imported
before the command runs; the others import dlt.
"""

from .command import check

__all__ = ["check"]
