"""Turns an error of dlt, a driver or the disk about a destination into one error with a remedy."""

from __future__ import annotations

import errno
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ...errors import ConfigurationError, ExactError, HeldError, causes

if TYPE_CHECKING:
    import dlt

LONGEST = 300  # characters of a driver's message
LOCKED = r"could not set lock"
FULL = "no space left"
# Remedy -> words in the driver's message; the first match counts.
REMEDIES = {
    "the disk is full: make room": (FULL, "disk ?full", "could not extend file"),
    "give the user of this process the right to write the file and its folder": (
        "read-only file ?system",
        "permission denied: ",
        "cannot open file",
    ),
    "name another file with --destination duckdb:PATH": ("not a valid duckdb database",),
    "correct the credentials in .dlt/secrets.toml": (
        "password authentication failed",
        "no password supplied",
        "role .* does not exist",
        r"pg_hba\.conf",
        "reauthenticat",
        "could not automatically determine credentials",
    ),
    "create the database, or correct its name": ("database .* does not exist",),
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


class DestinationError(ExactError):
    """The destination could not be reached, or its reply was unusable."""

    code = "destination"
    remedy = "Do what the message says about the database, file or disk, and run again."


@contextmanager
def reaching(pipeline: dlt.Pipeline) -> Iterator[None]:
    """Turn any error of a destination into an error of this package.

    Raises:
        ConfigurationError: If its credentials are missing.
        HeldError: If another process has the DuckDB file open.
        DestinationError: If it cannot be reached or used.
    """
    from dlt.common.configuration.exceptions import ConfigurationException

    name = pipeline.destination.destination_name
    try:
        yield
    except ConfigurationException as error:
        fields = getattr(error, "fields", None)
        what = f"{', '.join(fields)} missing" if fields else first_line(error)
        raise ConfigurationError(
            f"--destination {name}: {what}; put the credentials into .dlt/secrets.toml under "
            f"[destination.{name}.credentials]"
        ) from None
    except database_errors() as error:
        raise explain(pipeline, error) from error


def explain(pipeline: dlt.Pipeline, error: BaseException) -> ExactError:
    """The error for the user: the driver's message and a remedy."""
    name = pipeline.destination.destination_name
    said = first_line(driver_error(error))
    if re.search(LOCKED, said, re.IGNORECASE):
        found = re.search(r"\(PID (\d+)", said)
        holder = f"process {found[1]}" if found else "another process"
        return HeldError(
            f"destination {name}: {holder} has the DuckDB file open; close it there, and run again",
            resumes_at=time.time(),
        )
    remedy = remedy_for(said)
    return DestinationError(f"destination {name}: {said}" + (f"; {remedy}" if remedy else ""))


def remedy_for(said: str) -> str:
    """The remedy for a driver's message; empty if it is not known."""
    for remedy, patterns in REMEDIES.items():
        if any(re.search(pattern, said, re.IGNORECASE) for pattern in patterns):
            return remedy
    return ""


def is_known(error: BaseException) -> bool:
    """Whether an error concerns the connection to the destination or its space, not the loaded rows."""
    said = first_line(driver_error(error))
    return bool(re.search(LOCKED, said, re.IGNORECASE) or remedy_for(said))


def driver_error(error: BaseException) -> BaseException:
    """The driver's error inside dlt's, which dlt raises without ``from``."""
    *_, found = causes(error)
    while found.__context__ is not None:
        *_, found = causes(found.__context__)
    return found


def first_line(error: BaseException) -> str:
    """The first line of a driver's message; the others may show the statement."""
    if isinstance(error, OSError) and error.strerror:
        path = f": {error.filename}" if error.filename else ""
        full = errno.ENOSPC, errno.EDQUOT
        return (FULL if error.errno in full else error.strerror) + path
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].strip()[:LONGEST]


def database_errors() -> tuple[type[BaseException], ...]:
    """The errors that dlt, and the drivers that are loaded, raise about a database."""
    from dlt.common.destination.exceptions import DestinationException

    found: list[type[BaseException]] = [DestinationException, OSError]
    for module, name in (
        ("duckdb", "Error"),
        ("psycopg2", "Error"),
        ("google.api_core.exceptions", "GoogleAPIError"),
        ("google.auth.exceptions", "GoogleAuthError"),
    ):
        if module in sys.modules:
            found.append(getattr(sys.modules[module], name))
    return tuple(found)
