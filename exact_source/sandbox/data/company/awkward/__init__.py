"""A fixed set of small companies whose books are awkward, each for a reason that ``companies.csv`` states.

The tables beside this module are written by hand; an accountant can read each company off them. What
Exact derives from the ledger (open items, VAT returns) is derived from it here as well, by the column
``settles``: which open item a line belongs to.
"""

from .companies import AWKWARD, COMPANIES, ENTITIES, division_columns, new_awkward_company

__all__ = ["AWKWARD", "COMPANIES", "ENTITIES", "division_columns", "new_awkward_company"]
