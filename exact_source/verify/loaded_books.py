"""Figures of one company from the loaded tables; the database computes the sums."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date
from typing import TYPE_CHECKING, Any

from dlt.common.destination.exceptions import DestinationUndefinedEntity
from dlt.destinations.exceptions import DatabaseUndefinedRelation

if TYPE_CHECKING:
    from dlt.destinations.sql_client import SqlClientBase

Rows = list[dict[str, Any]]
LINES, GL_ACCOUNTS = "transaction_lines", "gl_accounts"
# Lines that do not count, as in the dbt package; an entry with such a line does not count at all.
BAD_LINE = (
    "status IS NULL OR status NOT IN (20, 50) OR gl_account IS NULL OR {date} IS NULL "
    "OR financial_year IS NULL OR financial_period IS NULL OR amount_dc IS NULL"
)
# T-SQL groups neither by positions nor by a subquery, and MySQL casts to no TIMESTAMP. Every database
# converts a literal that is compared with a column.
LINE_SUMS = """
SELECT financial_year, financial_period, gl_account, account, type, status, is_bad, is_later,
  SUM(amount_dc) AS amount_dc,
  SUM(amount_fc) AS amount_fc,
  MAX(line_date) AS last_day
FROM (
  SELECT l.financial_year, l.financial_period, l.gl_account, l.account, l.type, l.status,
    CASE WHEN bad.entry_id IS NULL THEN 0 ELSE 1 END AS is_bad,
    CASE WHEN l.{date} > '{today} 23:59:59' THEN 1 ELSE 0 END AS is_later,
    l.amount_dc, l.amount_fc, l.{date} AS line_date
  FROM {lines} AS l
  LEFT JOIN (
    SELECT DISTINCT entry_id FROM {lines} WHERE division = %s AND _deleted_at IS NULL AND ({bad})
  ) AS bad ON bad.entry_id = l.entry_id
  WHERE l.division = %s AND l._deleted_at IS NULL
) AS counted
GROUP BY financial_year, financial_period, gl_account, account, type, status, is_bad, is_later
"""
ENTRY_SUMS = """
SELECT entry_id, SUM(amount_dc) AS amount
FROM {lines}
WHERE division = %s AND _deleted_at IS NULL AND (type IS NULL OR type NOT IN ({carrying}))
  AND entry_id NOT IN (SELECT entry_id FROM {lines} WHERE division = %s AND _deleted_at IS NULL
    AND entry_id IS NOT NULL AND ({bad}))
GROUP BY entry_id
"""
DOCUMENT_SUMS = """
SELECT h.amount_fc_excl_vat AS theirs,
  COALESCE(SUM(l.amount_fc), 0) AS ours
FROM {headers} AS h
LEFT JOIN {lines} AS l
  ON l.division = h.division AND l.{key} = h.{key} AND l._deleted_at IS NULL
WHERE h.division = %s AND h._deleted_at IS NULL AND h.amount_fc_excl_vat IS NOT NULL
GROUP BY h.{key}, h.amount_fc_excl_vat
"""


class LoadedBooks:
    """The tables of one company.

    Args:
        client: An open client of the destination.
        division: Code of the company.
        today: Date by the site's clock.
    """

    def __init__(self, client: SqlClientBase[Any], division: int, today: date) -> None:
        self.division = division
        self.today = today
        self._client = client

    def count(self, table: str) -> int | None:
        """Number of rows that are not deleted; ``None`` if the table does not exist."""
        sql = "SELECT COUNT(*) AS n FROM {lines} WHERE division = %s AND _deleted_at IS NULL"
        found = self._rows(sql, {"lines": table}, [self.division])
        return int(found[0]["n"]) if found else None

    def newest_ms(self) -> int | None:
        """The newest ``Modified`` of the transaction lines, in milliseconds of the site's clock."""
        sql = "SELECT MAX(modified) AS newest FROM {lines} WHERE division = %s"
        found = self._rows(sql, {"lines": LINES}, [self.division])
        newest = found[0]["newest"] if found else None
        return None if newest is None else int(newest.replace(tzinfo=UTC).timestamp() * 1000)

    def line_sums(self) -> Rows | None:
        """Sums of transaction lines by period, ledger account, account, type and status."""
        # The date is part of the SQL text, because drivers differ in how they bind dates.
        sql = LINE_SUMS.replace("{today}", self.today.isoformat())
        return self._rows(sql, {"lines": LINES}, [self.division, self.division], date="date")

    def entry_sums(self, without: Iterable[int]) -> Rows | None:
        """The sum of each valid entry, except of some types."""
        # Budgets, for example, have no credit.
        sql = ENTRY_SUMS.replace("{carrying}", ", ".join(map(str, sorted(without))))
        return self._rows(sql, {"lines": LINES}, [self.division, self.division], date="date")

    def document_sums(self, headers: str, lines: str, key: str) -> Rows | None:
        """Header total and sum of lines of each document, without VAT, in its currency."""
        tables = {"headers": headers, "lines": lines}
        return self._rows(DOCUMENT_SUMS, tables, [self.division], key=key)

    def ledgers(self, gl_type: int) -> set[str] | None:
        """Keys of the ledger accounts of a type."""
        sql = "SELECT id FROM {lines} WHERE division = %s AND _deleted_at IS NULL AND type = %s"
        found = self._rows(sql, {"lines": GL_ACCOUNTS}, [self.division, gl_type])
        return None if found is None else {str(row["id"]).lower() for row in found}

    def _rows(
        self, sql: str, tables: Mapping[str, str], params: Sequence[Any], **names: str
    ) -> Rows | None:
        """The rows of a query; ``None`` if a table or column does not exist."""
        client = self._client
        quoted = {k: client.make_qualified_table_name(t) for k, t in tables.items()}
        words = {k: client.escape_column_name(name) for k, name in names.items()}
        text = sql.replace("{bad}", BAD_LINE).format(**quoted, **words)
        try:
            with client.execute_query(text, *params) as cursor:
                # Snowflake returns names in upper case.
                columns = [column[0].lower() for column in cursor.description or ()]
                return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
        except (DatabaseUndefinedRelation, DestinationUndefinedEntity):
            return None
