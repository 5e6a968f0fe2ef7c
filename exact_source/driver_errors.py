"""Describes an error of a database driver without values of rows.

Drivers quote rows: Postgres appends ``Failing row contains (...)``, DuckDB says ``Could not convert string
'...'``, MySQL ``Incorrect string value: '...'``. A message is therefore shown only if it is known to concern
a connection, a file, a right or a name. Of any other error the class and code are shown.
"""

from __future__ import annotations

import errno
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .duckdb_extensions import extension_command
from .errors import LONGEST_MESSAGE, causes, describe_fault, one_line

LOCKED = r"could not set lock"
FULL = "no space left"
CREDENTIALS = "correct the credentials in the address or in the settings"
NO_DATABASE = "create the database, or correct its name"
NO_FILE = "create its folder, or correct the path"
# Remedy -> words in the driver's message; the first match counts.
REMEDIES = {
    "the disk is full: make room": (FULL, "disk ?full", "disk is full", "could not extend file"),
    "give the user of this process the right to write the file and its folder": (
        "read-only file ?system",
        "permission denied: ",
        "cannot open file",
    ),
    "name another file with --destination duckdb:PATH": ("not a valid duckdb database",),
    CREDENTIALS: (
        "password authentication failed",
        "no password supplied",
        "role .* does not exist",
        r"pg_hba\.conf",
        "reauthenticat",
        "could not automatically determine credentials",
    ),
    NO_DATABASE: ("database .* does not exist",),
    NO_FILE: ("unable to open database file",),
    "grant the user the right to create schemas and tables in the database": (
        "permission denied",
        "must be owner",
        "access denied",
    ),
    "start the server, or correct its address": (
        "connection refused",
        "could not translate host",
        "timed? ?out",
        "could not connect",
        "server closed the connection",
        "unreachable",
    ),
}
# MySQL's ER_TRUNCATED_WRONG_VALUE_FOR_FIELD: a character that the table cannot hold.
CHARACTER_SET = "create the database again with the character set utf8mb4"
REMEDY_OF_CODE = {"1366": CHARACTER_SET}
# Base classes of errors about rows, whatever their message: drivers derive from these classes of PEP 249.
ABOUT_ROWS = frozenset({"DataError", "IntegrityError"})
# Base classes of PEP 249, Google's clients, PyArrow and delta-rs.
DRIVERS = frozenset({"ArrowException", "DatabaseError", "DeltaError", "GoogleAPIError"})
# Errors of DuckDB, and SQLSTATEs (first characters), that concern names, files, memory or connections.
SHOWN_CLASSES = frozenset(
    {"BinderException", "CatalogException", "ConnectionException", "IOException",
     "OutOfMemoryException", "PermissionException"}
)  # fmt: skip
SHOWN_STATES = ("08", "28", "3D", "3F", "42P01", "42703", "42S02", "42S22", "53", "57", "58")
_STATE = re.compile(r"[0-9A-Z]{5}")
_EXTENSION = re.compile(r"install the required extension '(\w+)'")
_QUOTED = re.compile(r"""'[^']*'|"[^"]*\"""")


def describe(error: BaseException) -> str:
    """The error in one line: its message if it cannot quote a row, otherwise class and code."""
    found = driver_error(error)
    text = message_of(found)
    connecting = any(type(e).__name__ == "DestinationConnectionError" for e in _with_context(error))
    if connecting or _may_show(found, text):
        return text
    is_builtin = type(found).__module__ == "builtins"
    return describe_fault(found) if is_builtin else class_and_code(found)


def describe_load(error: BaseException, working_dir: str = "") -> str:
    """The error of a load in one line, with the table whose job failed.

    Args:
        error: dlt's error.
        working_dir: dlt's working folder, where the driver's message stays; empty if it is removed.
    """
    job = next((e for e in causes(error) if isinstance(getattr(e, "job_id", None), str)), None)
    if job is None:
        return describe(error)
    said = f"table {str(vars(job)['job_id']).partition('.')[0]}: {describe(error)}"
    folder = Path(working_dir, "load", "normalized", str(vars(job).get("load_id")), ".exceptions")
    return f"{said}; for the driver's message see {folder}" if folder.is_dir() else said


def is_job_report(record: logging.LogRecord) -> bool:
    """Whether a record is dlt's report on a failed load job, which quotes rows; a sync reports the cause."""
    return record.module == "load" or bool(record.exc_info)


@contextmanager
def without_job_reports() -> Iterator[None]:
    """Keep dlt's reports on failed load jobs out of its log."""
    of_dlt = logging.getLogger("dlt")

    def is_other(record: logging.LogRecord) -> bool:
        return not is_job_report(record)

    of_dlt.addFilter(is_other)
    try:
        yield
    finally:
        of_dlt.removeFilter(is_other)


def is_of_driver(error: BaseException) -> bool:
    """Whether a driver or Arrow raised an error."""
    names = {c.__name__ for c in type(driver_error(error)).__mro__}
    return not names.isdisjoint(DRIVERS)


def class_and_code(error: BaseException) -> str:
    """The class of a driver's error and its code: ``psycopg2.errors.CheckViolation (23514)``."""
    kind, code = type(error), code_of(error)
    name = f"{kind.__module__.lstrip('_')}.{kind.__name__}"
    return f"{name} ({code})" if code else name


def code_of(error: BaseException) -> str:
    """The SQLSTATE, the number or the HTTP status of a driver's error; empty if it has none."""
    first = error.args[0] if len(error.args) > 1 else None  # PyMySQL, mysqlclient, pyodbc
    named = [getattr(error, name, None) for name in ("pgcode", "sqlstate", "code")]
    for found in (first, *named):
        if isinstance(found, int) or (isinstance(found, str) and _STATE.fullmatch(found)):
            return str(int(found)) if isinstance(found, int) else found
    return ""


def remedy_of(error: BaseException) -> str:
    """The remedy for an error; empty if none is known."""
    found = driver_error(error)
    if _is_about_rows(found):
        return REMEDY_OF_CODE.get(code_of(found), "")
    return _remedy_for(message_of(found)) or REMEDY_OF_CODE.get(code_of(found), "")


def is_misnamed(error: BaseException) -> bool:
    """Whether the address or the credentials of a database are wrong, so that it does not help to wait."""
    return remedy_of(error) in {CREDENTIALS, NO_DATABASE, NO_FILE}


def holder_of(error: BaseException) -> str:
    """Who has a DuckDB file open, according to DuckDB's error: ``process 123``, or ``another process``."""
    found = re.search(r"\(PID (\d+)", message_of(driver_error(error)))
    return f"process {found[1]}" if found else "another process"


def is_locked(error: BaseException) -> bool:
    """Whether another process has the DuckDB file open."""
    found = driver_error(error)
    return not _is_about_rows(found) and bool(_said(LOCKED, message_of(found)))


def driver_error(error: BaseException) -> BaseException:
    """The driver's error inside dlt's, which dlt raises without ``from``."""
    return list(_with_context(error))[-1]


def message_of(error: BaseException) -> str:
    """The first line of a driver's message; the others may show the statement."""
    if isinstance(error, OSError) and error.strerror:
        path = f": {error.filename}" if error.filename else ""
        full = errno.ENOSPC, errno.EDQUOT
        return (FULL if error.errno in full else error.strerror) + path
    numbered = len(error.args) == 2 and isinstance(error.args[1], str)  # noqa: PLR2004 (code, text)
    text = error.args[1] if numbered else str(error)
    lines = str(text).strip().splitlines() or [type(error).__name__]
    return one_line(lines[0].rstrip(":"), LONGEST_MESSAGE)


def _may_show(error: BaseException, text: str) -> bool:
    if _is_about_rows(error):
        return False
    if isinstance(error, OSError) or type(error).__name__ in SHOWN_CLASSES:
        return True
    if code_of(error).startswith(SHOWN_STATES) or _said(LOCKED, text) or _remedy_for(text):
        return True
    return _is_of_dlt(error)


def _is_about_rows(error: BaseException) -> bool:
    return not ABOUT_ROWS.isdisjoint(c.__name__ for c in type(error).__mro__)


def _is_of_dlt(error: BaseException) -> bool:
    """Whether an error is dlt's own and does not repeat the message of a driver."""
    repeats = any(hasattr(error, name) for name in ("failed_message", "dbapi_exception"))
    return type(error).__module__.startswith("dlt.") and not repeats


def _remedy_for(text: str) -> str:
    if extension := _EXTENSION.search(text):
        return f"run once with internet access: {extension_command(extension[1])}"
    for remedy, patterns in REMEDIES.items():
        if any(_said(pattern, text) for pattern in patterns):
            return remedy
    return ""


def _said(pattern: str, text: str) -> bool:
    """Whether a message contains a pattern outside of quoted values."""
    return bool(re.search(pattern, _QUOTED.sub("''", text), re.IGNORECASE))


def _with_context(error: BaseException) -> list[BaseException]:
    found = list(causes(error))
    while found[-1].__context__ is not None:
        found += causes(found[-1].__context__)
    return found
