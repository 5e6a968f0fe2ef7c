"""``exact-source plan``: calls, minutes and days of the next sync, before it is started.

``command.py`` has the options and the output. The other modules print nothing: ``planner.py`` finds the
streams, from the destination and from Exact's counts; ``estimate.py`` estimates each stream; ``report.py``
adds them up as plain values; ``schedule.py`` has the arithmetic of limits. All but ``command.py`` are
imported when the command runs: they import dlt.
"""

from .command import plan

__all__ = ["plan"]
