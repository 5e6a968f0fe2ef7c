"""Deliberate deviations of the sandbox from Exact Online, one for each assumption that ``verify`` checks.

``names.py`` lists them. ``queries.py`` changes how a query is interpreted, ``answers.py`` the rows and links
of a reply, ``sizes.py`` the page size, ``headers.py`` the headers, ``bodies.py`` the JSON, and ``schema.py``
the ``$metadata``.
"""

from .names import DEVIATIONS, check_deviations

__all__ = ["DEVIATIONS", "check_deviations"]
