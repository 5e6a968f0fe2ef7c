"""Turns destination errors of dlt, a driver or the disk into one error with a remedy."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ...driver_errors import describe, holder_of, is_locked, message_of, remedy_of
from ...errors import ConfigurationError, ExactError, HeldError

if TYPE_CHECKING:
    import dlt


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
        fields, section = missing_settings(error)
        what = f"{', '.join(fields)} missing" if fields else message_of(error)
        raise ConfigurationError(
            f"--destination {name}: {what}; put it into .dlt/secrets.toml under "
            f"[destination.{name}{section}], or into the address if credentials are one, as in "
            "postgresql://USER:PASSWORD@HOST/DATABASE"
        ) from None
    except database_errors() as error:
        raise explain(pipeline, error) from error


def missing_settings(error: Exception) -> tuple[list[str], str]:
    """The settings that are missing, and the part of their section after the destination's name.

    The error of dlt names ``credentials`` only; the missing settings are one level below.
    """
    found: Mapping[str, Sequence[Any]] = getattr(error, "traces", {})
    for name, traces in found.items():
        for inner in (t for t in traces if hasattr(t, "traces")):
            return list(inner.traces), f".{name}"
    return list(found), "" if found else ".credentials"


def explain(pipeline: dlt.Pipeline, error: BaseException) -> ExactError:
    """The error for the user: what happened and a remedy, without values of rows."""
    name, said = pipeline.destination.destination_name, describe(error)
    if is_locked(error):
        return in_use(pipeline, holder_of(error))
    remedy = remedy_of(error)
    return DestinationError(f"destination {name}: {said}" + (f"; {remedy}" if remedy else ""))


def in_use(pipeline: dlt.Pipeline, holder: str) -> HeldError:
    """The error if another process has the DuckDB file open; a sync must not be ended for that."""
    from ...loading.writer_lock import writers_into

    name, now = pipeline.destination.destination_name, time.time()
    writers = [w for w in writers_into(pipeline) if holder == f"process {w.pid}"]
    if writers:
        return HeldError(
            f"destination {name}: a sync of the {writers[0]} is under way; nothing was done, run again later",
            resumes_at=now,
        )
    return HeldError(
        f"destination {name}: {holder} has the DuckDB file open; close it there, and run again",
        resumes_at=now,
    )


def is_known(error: BaseException) -> bool:
    """Whether an error has a remedy at the destination."""
    return is_locked(error) or bool(remedy_of(error))


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
