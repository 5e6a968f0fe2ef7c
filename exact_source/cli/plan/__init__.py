"""``exact-source plan``: calls, minutes and days of the next sync, before it is started.

``command.py`` has the options and what a person sees. The others find out, and show nothing:
``planner.py`` what there is to read, as the destination knows it and Exact Online counts it;
``estimate.py`` what each stream of that will take; ``report.py`` what all of them take together, in plain
values. The arithmetic of limits is ``protocol/planning.py``. All but ``command.py`` are imported when the
command runs: they import dlt.
"""

from .command import plan

__all__ = ["plan"]
