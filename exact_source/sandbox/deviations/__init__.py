"""Ways in which the sandbox can be wrong on purpose: one for each assumption that ``verify`` checks.

``names.py`` lists them. ``queries.py`` changes how a query is read, ``answers.py`` which rows come and where
links lead, ``sizes.py`` how many rows a page has, ``headers.py`` the headers, ``bodies.py`` the JSON, and
``schema.py`` the ``$metadata``.
"""

from .names import DEVIATIONS, check_deviations

__all__ = ["DEVIATIONS", "check_deviations"]
