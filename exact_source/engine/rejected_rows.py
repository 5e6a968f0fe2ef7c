"""Rows that have no place in their table, because they lack a part of its key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from ..errors import ContractError
from . import rows
from .result import StreamResult

# Rows of a stream without a key that are kept; more is no oversight but another API.
KEYLESS_ROWS = 1_000


@dataclass(frozen=True)
class Rejected:
    """A row that has no place in its table: it lacks a part of its key."""

    division: int
    entity: str
    reason: str
    row: str


class Keyless:
    """The rows without a key of one run: how many each stream had, and those that wait for a load."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, int]] = Counter()
        self._waiting: list[Rejected] = []

    def with_key(self, result: StreamResult, table: pa.Table, keys: Sequence[str]) -> pa.Table:
        """The rows that have a key; the others are kept for ``_exact_rejected``.

        Raises:
            ContractError: If there are a thousand of them.
        """
        kept, keyless = rows.with_key(table, keys)
        if keyless.num_rows:
            stream = result.entity, result.division
            self._counts[stream] += keyless.num_rows
            reason = f"no {' or no '.join(k for k in keys if keyless.column(k).null_count)}"
            if self._counts[stream] > KEYLESS_ROWS:
                raise ContractError(
                    f"{result.entity} of division {result.division}: over {KEYLESS_ROWS} rows have "
                    f"{reason}; reading stopped"
                )
            self._waiting += [Rejected(*stream[::-1], reason, row) for row in rows.as_json(keyless)]
        return kept

    def lacking(self, result: StreamResult) -> str:
        """What to say of a stream's rows without a key; empty if it has none."""
        count = self._counts[result.entity, result.division]
        rows_are = "row without a key is" if count == 1 else "rows without a key are"
        return f"{count} {rows_are} in _exact_rejected, not in the table" if count else ""

    def take(self, entity: str) -> list[Rejected]:
        """An entity's rows that wait for a load; they are in the caller's hands from here on."""
        mine = [row for row in self._waiting if row.entity == entity]
        self._waiting = [row for row in self._waiting if row.entity != entity]
        return mine
