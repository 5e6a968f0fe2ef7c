"""Tests the assumptions of this program about Exact Online on a live company (``exact-source verify``).

``questions.py`` lists the calls, ``asking.py`` makes them. Each of the other modules has the checks of one
subject, as data and functions that judge the answers.
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
