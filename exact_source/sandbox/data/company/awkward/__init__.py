"""A fixed set of small companies with difficult books; ``companies.csv`` states the difficulty of each.

The tables next to this module are written by hand, in a form that an accountant can read. What Exact derives
from the ledger (open items, VAT returns) is derived from it here too, with the column ``settles``, the open
item to which a line belongs.
"""

from .companies import AWKWARD, COMPANIES, ENTITIES, division_columns, new_awkward_company

__all__ = ["AWKWARD", "COMPANIES", "ENTITIES", "division_columns", "new_awkward_company"]
