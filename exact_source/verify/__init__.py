"""Measures at a live company what this program assumes about Exact Online (``exact-source verify``).

``questions.py`` lists the calls, ``asking.py`` makes them. Each of the other modules has the checks of one
subject, as data and a function that looks at the answers.
"""

from .asking import MOST_CALLS, MOST_REFUSALS
from .checks import Check, Finding
from .verification import CHECKS, Verification, verify

__all__ = [
    "CHECKS",
    "MOST_CALLS",
    "MOST_REFUSALS",
    "Check",
    "Finding",
    "Verification",
    "verify",
]
