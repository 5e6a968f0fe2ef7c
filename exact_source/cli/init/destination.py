"""The destination of the tables, and its credentials."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tomlkit import TOMLDocument

from ...errors import ConfigurationError
from ...settings import SECTION
from ..connect import need_extra, parse_destination
from .questions import prompt
from .toml_files import Entries, found

NOTED = (*SECTION.split("."), "destination")
BIGQUERY = ("destination", "bigquery", "credentials")
WITHOUT_CREDENTIALS = {"bigquery", "duckdb", "dummy", "filesystem"}  # or with those of the machine
KEY_PARTS = ("project_id", "private_key", "client_email")


def where_to(
    given: str | None,
    key: Path | None,
    before: Mapping[str, TOMLDocument],
    *,
    config: str = "config",
    asks: bool,
) -> tuple[str, Entries]:
    """The destination, from the option or a question, and its entries for the files."""
    noted = str(found(before[config], NOTED) or "duckdb")
    if given is None:
        given = prompt("Destination", noted, check_destination) if asks else noted
    kind, place = check_destination(given)
    if asks and key is None and kind == "bigquery" and found(before["secrets"], BIGQUERY) is None:
        key = ask_for_key()
    return given, {(config, *NOTED): kind} | credentials(kind, place, key)


def check_destination(text: str) -> tuple[str, str]:
    """The kind of a destination, and its place, which is empty if it is in dlt's configuration.

    Raises:
        ConfigurationError: If it is unknown, or a package that it needs is not installed.
    """
    kind, place = parse_destination(text)
    need_extra(kind)
    return kind, place


def needs_credentials(destination: str) -> bool:
    """Whether the files and variables lack the credentials of a destination that cannot work without."""
    import dlt

    kind, place = parse_destination(destination)
    noted: Any = dlt.secrets.get(f"destination.{kind}.credentials")
    if place or kind in WITHOUT_CREDENTIALS or noted:
        return False
    return not any(name.startswith(f"DESTINATION__{kind.upper()}__") for name in os.environ)


def ask_for_key() -> Path | None:
    """The key file for BigQuery; ``None`` for the credentials of the environment."""
    question = "File of the service account's key (Enter: the credentials of the environment)"
    answer = prompt(question, "", lambda text: text and read_key(Path(text)))
    return Path(answer) if answer else None


def read_key(file: Path) -> dict[str, str]:
    """The parts of a service account's key that dlt needs.

    Raises:
        ConfigurationError: If the file is not a key; the message does not repeat its content.
    """
    try:
        held = json.loads(file.expanduser().read_text("utf-8"))
        return {name: str(held[name]) for name in KEY_PARTS}
    except OSError as error:
        raise ConfigurationError(
            f"--bigquery-key: {file} cannot be read: {error.strerror}"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise ConfigurationError(
            f"--bigquery-key: {file} is not a JSON key of a service account; create one in the Google "
            "Cloud console"
        ) from None


def credentials(kind: str, place: str, key: Path | None) -> Entries:
    """The entries of ``secrets.toml`` for a destination."""
    if kind == "bigquery" and key is not None:
        return {("secrets", *BIGQUERY, name): value for name, value in read_key(key).items()}
    name = "bucket_url" if kind == "filesystem" else "credentials"
    return {("secrets", "destination", kind, name): place} if place else {}
