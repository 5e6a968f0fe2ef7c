"""Rows that cannot be merged into their table, because a part of the key is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from ..errors import ContractError
from . import rows
from .result import StreamResult

# Most rows without a key that a stream keeps; more means that the API has changed.
KEYLESS_ROWS = 1_000


@dataclass(frozen=True)
class Rejected:
    """A row without a complete key."""

    division: int
    entity: str
    reason: str
    row: str


class RejectedRows:
    """Rows without a complete key: the number per stream, and the rows that wait for a load."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, int]] = Counter()
        self._waiting: list[Rejected] = []

    def keep(self, result: StreamResult, rejected: pa.Table, keys: Sequence[str]) -> None:
        """Keep rows without a key for ``_exact_rejected``.

        Raises:
            ContractError: If a stream has more than ``KEYLESS_ROWS`` of them.
        """
        if not rejected.num_rows:
            return
        stream = result.entity, result.division
        self._counts[stream] += rejected.num_rows
        reason = f"no {' or no '.join(k for k in keys if rejected.column(k).null_count)}"
        if self._counts[stream] > KEYLESS_ROWS:
            raise ContractError(
                f"{result.where}: over {KEYLESS_ROWS} rows have {reason}; reading stopped"
            )
        self._waiting += [Rejected(*stream[::-1], reason, row) for row in rows.as_json(rejected)]

    def describe(self, result: StreamResult) -> str:
        """A message about a stream's rows without a key; empty if it has none."""
        count = self._counts[result.entity, result.division]
        rows_are = "row without a key is" if count == 1 else "rows without a key are"
        return f"{count} {rows_are} in _exact_rejected, not in the table" if count else ""

    @property
    def waiting(self) -> bool:
        """Whether rows wait for a load."""
        return bool(self._waiting)

    def take(self) -> list[Rejected]:
        """The rows that wait for a load; the caller loads them."""
        taken, self._waiting = self._waiting, []
        return taken
