"""A message about an error of a database never quotes a row, whatever the driver says."""

from __future__ import annotations

import errno
from typing import Any

import duckdb
import psycopg2
import pyarrow as pa
import pytest
from dlt.destinations.exceptions import DatabaseTerminalException, DestinationConnectionError
from dlt.load.exceptions import LoadClientJobRetry
from google.api_core.exceptions import BadRequest

from exact_source.cli._output.exit import innermost
from exact_source.driver_errors import (
    CHARACTER_SET,
    class_and_code,
    describe,
    describe_load,
    remedy_of,
)

SECRET = "Jansen"
NO_EXTENSION = "An error occurred while trying to automatically install the required extension"
Bad: Any = BadRequest  # without types


class DatabaseError(Exception):
    """As PEP 249 names it."""


class DataError(DatabaseError):
    """As in PyMySQL."""


class OperationalError(DatabaseError):
    """As in PyMySQL, for each number that it does not know."""


def duckdb_error(sql: str) -> Exception:
    with duckdb.connect() as database:
        try:
            database.execute(sql)
        except duckdb.Error as error:
            found: Exception = error
            return found
    raise AssertionError(sql)


def arrow_error() -> Exception:
    try:
        pa.array([SECRET]).cast(pa.int64())
    except pa.ArrowInvalid as error:
        found: Exception = error
        return found
    raise AssertionError


# Made as a driver makes it -> a word that remains.
QUOTING: list[tuple[Any, str]] = [
    (lambda: duckdb_error(f"SELECT CAST('{SECRET}' AS INT)"), "ConversionException"),
    (lambda: duckdb_error(f"SELECT CAST('timed out {SECRET}' AS INT)"), "ConversionException"),
    (lambda: duckdb_error(f"SELECT '{SECRET}"), "ParserException"),
    (lambda: duckdb_error(f"CREATE TABLE t (a TEXT UNIQUE); INSERT INTO t VALUES ('{SECRET}'), ('{SECRET}')"),
     "ConstraintException"),
    (lambda: psycopg2.errors.CheckViolation(
        f'new row for relation "x" violates check "y"\nDETAIL:  Failing row contains ({SECRET}).'),
     "CheckViolation"),
    (lambda: psycopg2.errors.UniqueViolation(f'x "y"\nDETAIL:  Key (code)=({SECRET}) already exists.'),
     "UniqueViolation"),
    (lambda: psycopg2.errors.InvalidTextRepresentation(f'invalid syntax for type integer: "{SECRET}"'),
     "InvalidTextRepresentation"),
    (lambda: DataError(1366, f"Incorrect string value: '{SECRET}' for column x"), "1366"),
    (lambda: OperationalError(1292, f"Incorrect datetime value: '{SECRET}, connection refused'"), "1292"),
    (lambda: Bad(f"Error while reading data: could not parse {SECRET} as INT64"), "BadRequest (400)"),
    (arrow_error, "ArrowInvalid"),
    (lambda: LoadClientJobRetry("1", "accounts.1.parquet", 5, 5, f"value {SECRET}", ValueError(SECRET)),
     "LoadClientJobRetry"),
    (lambda: ValueError(f"invalid literal for int(): {SECRET!r}"), "ValueError"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "word"), QUOTING)
def test_no_value_of_a_row_is_shown(make: Any, word: str) -> None:
    wrapped = DatabaseTerminalException(make())
    wrapped.__cause__ = wrapped.dbapi_exception

    for text in (describe(wrapped), describe_load(wrapped)):
        assert word in text
        assert SECRET not in text
        assert "\n" not in text
    if word not in {"LoadClientJobRetry", "ValueError"}:
        assert SECRET not in innermost(wrapped)


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (OSError(errno.EACCES, "Permission denied", "/srv/x"), "/srv/x"),
        (psycopg2.OperationalError('FATAL:  role "me" does not exist'), "me"),
        (OperationalError(1045, "Access denied for user 'me'@'localhost'"), "me"),
        (psycopg2.OperationalError('FATAL:  database "books" does not exist'), "books"),
        (duckdb.Error(f"{NO_EXTENSION} 'delta':\nFailed to download"), "extension 'delta'"),
    ],
)
def test_what_concerns_the_connection_is_shown(error: Exception, word: str) -> None:
    assert word in describe(error)
    assert remedy_of(error)


def test_the_command_for_a_missing_extension_is_named() -> None:
    error = duckdb.Error(f"{NO_EXTENSION} 'delta':\nFailed to download")
    assert "INSTALL delta" in remedy_of(error)
    assert not describe(error).endswith(":")


def test_a_missing_table_is_named() -> None:
    assert "accounts" in describe(duckdb_error("SELECT * FROM accounts"))


def test_any_error_of_connecting_is_shown() -> None:
    reason = psycopg2.OperationalError("FATAL:  sorry, too many clients already")
    error = DestinationConnectionError("postgres", "books", str(reason), reason)
    error.__context__ = reason
    assert "too many clients" in describe(error)


def test_a_character_that_a_table_cannot_hold_has_a_remedy() -> None:
    error = DataError(1366, f"Incorrect string value: '{SECRET}'")
    vars(error)["sqlstate"] = "22007"  # MariaDB sends it for faults of many kinds
    assert remedy_of(error) == CHARACTER_SET
    assert class_and_code(error).endswith("DataError (1366)")
