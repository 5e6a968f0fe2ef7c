"""Names and types of the columns of one feed, in the JSON of a page and in the loaded table."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.json as pj

from ..catalogue import Column, Entity, Feed
from .columns import INSTANT, KEPT, RAW
from .guard import NO_GUARD, Guard

# Fields that Exact pads with spaces. Some contain a code but are not named so (API 3.3, 12.13): a unit, a
# cost center, a country. They are trimmed like the code that they refer to, so that joins work.
_CODE = re.compile(
    "Code$|Unit(code)?$|^Cost([Cc]enter|unit)$|^PaymentCondition(Purchase|Sales)?$|^Journal$"
    "|Country(OfOrigin)?$|Language$|^State$|^Legislation$|^Nationality$"
)
# Forms of rows whose parse options are cached; a feed has one or two.
MOST_FORMS = 8
# Exact may end the rows with an error object. A field that can only be null makes the parser refuse it.
_ERROR = ("error", pa.null())
# Suffixes of companion columns: the UTC time of a wall-clock time, and the padded code.
COMPANIONS = UTC, RAW_CODE = "_utc", "_raw"


class PageSchema:
    """The columns of one feed. It contains no rows, so one instance serves all pages.

    Args:
        entity: Entity of the rows.
        feed: Endpoint that serves them.
        fields: Selected fields; by default all fields of the feed except the binary ones.
        raw_codes: Add a column ``..._raw`` for each code, with the spaces that Exact pads it with.
        utc_fields: Datetime fields that get a second column ``..._utc`` with the true instant.
        guard: Fields that are left out or hashed; left-out ones must not be among ``fields``.

    Raises:
        ValueError: If a field does not exist, or if the field with the division is not selected.
    """

    def __init__(
        self,
        entity: Entity,
        feed: Feed,
        fields: Sequence[str] | None = None,
        *,
        raw_codes: bool = False,
        utc_fields: Sequence[str] = (),
        guard: Guard = NO_GUARD,
    ) -> None:
        known = entity.columns
        if fields is None:
            fields = [
                f for f in feed.columns if known[f].type_code != "x" and f not in guard.excluded
            ]
        if unknown := set(fields) - known.keys():
            raise ValueError(f"{entity.name} has no {', '.join(sorted(unknown))}")
        self.entity = entity
        # Division is checked even if it was not selected.
        seen = [*fields, *(f for f in ("Division",) if f in known)]
        self.columns: dict[str, Column] = {f: known[f] for f in seen}
        self.key = tuple(f for f in entity.key if f in self.columns and f != "Division")
        self.own_division = entity.division_from or ("Division" if entity.any_division else None)
        if self.own_division is not None and self.own_division not in self.columns:
            raise ValueError(f"{entity.name} cannot be read without {self.own_division}")
        self.guard = guard
        self.utc = tuple(f for f in utc_fields if f in self.columns)
        self._has_raw_codes = raw_codes
        self._utc_fields = tuple(utc_fields)
        self._options: dict[tuple[object, bool], pj.ParseOptions] = {}

    # Made on first use: a source has hundreds of schemas, and a run reads a few of them.

    @cached_property
    def codes(self) -> frozenset[str]:
        """Fields that Exact may pad with spaces."""
        return frozenset(f for f, column in self.columns.items() if is_code(column))

    @cached_property
    def hashed(self) -> tuple[str, ...]:
        """Fields that are loaded as hashes."""
        return tuple(f for f in self.columns if f in self.guard.hashed)

    @cached_property
    def raw(self) -> tuple[str, ...]:
        """Codes that are also loaded as they were sent."""
        if not self._has_raw_codes:
            return ()
        return tuple(f for f in self.columns if f in self.codes and f not in self.guard.hashed)

    @cached_property
    def dropped(self) -> dict[str, pa.DataType]:
        """Known fields that are ignored if they are sent."""
        return {
            f: RAW[c.type_code]
            for f, c in self.entity.columns.items()
            if f not in self.columns and (c.type_code == "x" or f in self.guard.excluded)
        }

    def of_feed(
        self, feed: Feed, fields: Sequence[str], entity: Entity | None = None
    ) -> PageSchema:
        """The same schema for other fields, another feed, or an entity with other types."""
        return PageSchema(
            entity or self.entity, feed, fields,
            raw_codes=self._has_raw_codes, utc_fields=self._utc_fields, guard=self.guard,
        )  # fmt: skip

    @cached_property
    def groups(self) -> dict[str, list[str]]:
        """Type code, or "c" for codes -> the fields that are converted together."""
        groups: dict[str, list[str]] = {}
        for field, column in self.columns.items():
            groups.setdefault("c" if field in self.codes else column.type_code, []).append(field)
        return groups

    @cached_property
    def arrow(self) -> pa.Schema:
        """Schema of the tables: ``division`` first, ``_extra`` not included."""
        kept = [(c.name, KEPT[c.type_code]) for f, c in self.columns.items() if f != "Division"]
        utc = [(self.columns[f].name + UTC, INSTANT) for f in self.utc]
        raw = [(self.columns[f].name + RAW_CODE, pa.string()) for f in self.raw]
        return pa.schema([("division", pa.int32()), *kept, *utc, *raw])

    @cached_property
    def no_rows(self) -> pa.Table:
        """A table without rows."""
        return self.arrow.empty_table()

    def parse_options(self, around: Mapping[str, Any], *, bare: bool) -> pj.ParseOptions:
        """Options with which ``pyarrow.json`` reads a page that has no unknown fields.

        Args:
            around: Fields without a column, such as ``__metadata``, each with a sample value.
            bare: Whether ``d`` itself is the list of rows, instead of its ``results``.
        """
        key = (_form(around), bare)
        found = self._options.get(key)  # several threads may parse pages of one schema
        if found is None:
            if len(self._options) >= MOST_FORMS:  # each reply has another form: none comes again
                self._options.clear()
            columns = [(f, RAW[c.type_code]) for f, c in self.columns.items()]
            row = pa.struct([*columns, *((f, self._type_around(f, v)) for f, v in around.items())])
            self._options[key] = found = _parse_options(pa.list_(row), bare=bare)
        return found

    def _type_around(self, field: str, value: Any) -> pa.DataType:
        return self.dropped[field] if field in self.dropped else pa.scalar(value).type


def _form(value: object) -> object:
    """Names and types of a JSON value, which are the same on all pages of a feed."""
    if isinstance(value, Mapping):
        return Mapping, *((name, _form(inner)) for name, inner in value.items())
    return (list, *map(_form, value)) if isinstance(value, list) else type(value)


def is_code(column: Column) -> bool:
    """Whether Exact may pad the column with spaces (API 3.3, 12.13)."""
    return column.type_code == "s" and _CODE.search(column.field) is not None


def _parse_options(rows: pa.ListType, *, bare: bool) -> pj.ParseOptions:
    text = pa.string()
    results = pa.struct([("results", rows), ("__next", text), ("__count", text), _ERROR])
    return pj.ParseOptions(
        explicit_schema=pa.schema([("d", rows if bare else results), _ERROR]),
        unexpected_field_behavior="error",
    )
