"""The overlay: a file with the differences between a live company and the shipped catalogue.

``exact-source entities refresh --write FILE`` writes it. It is used if the setting
``sources.exact_online.catalogue_overlay`` names it: as ``SOURCES__EXACT_ONLINE__CATALOGUE_OVERLAY``
in the environment, or in the project's ``.dlt/config.toml``, where a path is relative to the project folder.
Its form:

    {"version": 1,
     "columns": {"accounts": {"sync": {"add": {"NewField": "s"}, "drop": ["OldField"]}}},
     "entities": {"new_things": {... a record as in catalogue.json ...}}}

This module does not import dlt, because that takes seconds and the catalogue must load fast.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError
from .naming import is_plain, why_no_column

SETTING = "sources.exact_online.catalogue_overlay"
VARIABLE = "SOURCES__EXACT_ONLINE__CATALOGUE_OVERLAY"
VERSION = 1
TYPE_CODES = frozenset("gsfmihyltbx")

Records = Mapping[str, Mapping[str, Any]]


def overlay_path() -> Path | None:
    """Path of the overlay according to the settings; ``None`` if it is not set."""
    given = os.environ.get(VARIABLE)
    if given is not None:
        return Path(given).expanduser() if given else None
    # The variables by which dlt finds its configuration.
    project = Path(os.environ.get("DLT_PROJECT_DIR", "."))
    place = _configured(project / os.environ.get("DLT_CONFIG_FOLDER", ".dlt") / "config.toml")
    return project / Path(place).expanduser() if place else None


def _configured(file: Path) -> str:
    try:
        found: Any = tomllib.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return ""  # dlt reports an error in its own file
    for name in SETTING.split("."):
        found = found.get(name, "") if isinstance(found, dict) else ""
    return str(found)


def read_overlay(path: Path) -> dict[str, Any]:
    """The overlay in a file.

    Raises:
        ConfigurationError: If the file cannot be read or is malformed.
    """
    try:
        overlay = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{SETTING}: {path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise ConfigurationError(f"{SETTING}: {path} is not JSON") from None
    if not isinstance(overlay, dict) or overlay.get("version") != VERSION:
        raise ConfigurationError(
            f"{SETTING}: {path} is not an overlay of version {VERSION}; "
            "make one with `exact-source entities refresh --write FILE`"
        )
    return overlay


def apply_overlay(entities: Records, overlay: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The records of the catalogue with an overlay applied.

    An entity that the shipped catalogue now contains is not replaced.

    Raises:
        ConfigurationError: If the overlay is malformed.
    """
    try:
        merged = {
            name: _with_columns(record, overlay.get("columns", {}).get(name, {}))
            for name, record in entities.items()
        }
        new = {n: r for n, r in overlay.get("entities", {}).items() if n not in merged}
        for name, record in new.items():
            _check_record(name, record)
        merged.update(new)
    except (AttributeError, TypeError, KeyError, ValueError) as error:
        raise ConfigurationError(f"{SETTING}: the overlay is malformed ({error})") from None
    return dict(sorted(merged.items()))


def _check_record(name: str, record: Mapping[str, Any]) -> None:
    if not is_plain(name):
        raise ValueError(f"{name!r} is not a plain table name")
    _check_letters(record["columns"])
    _check_names(record["columns"], record["columns"])
    if not record["key"] or not record["service"] or not record["feeds"]:
        raise ValueError("a new entity has no key, service or feed")
    for feed in record["feeds"].values():
        _ = feed["path"], int(feed["page"])


def _check_letters(columns: Mapping[str, str]) -> None:
    if unknown := set(columns.values()) - TYPE_CODES:
        raise ValueError(f"unknown type {min(unknown)!r}")


def _check_names(fields: Iterable[str], among: Iterable[str]) -> None:
    others = list(among)
    for field in fields:
        if reason := why_no_column(field, others):
            raise ValueError(f"{field} cannot be a column: {reason}")


def _with_columns(
    record: Mapping[str, Any], changes: Mapping[str, Mapping[str, Any]]
) -> Mapping[str, Any]:
    """One record with columns added and dropped, feed by feed."""
    if not changes:
        return record
    columns = dict(record["columns"])
    for change in changes.values():
        _check_letters(change.get("add", {}))
        for field, type_code in change.get("add", {}).items():
            columns.setdefault(field, type_code)
    fresh = columns.keys() - record["columns"].keys()
    _check_names(fresh, columns)
    feeds = {
        kind: _with_feed_columns(feed, changes.get(kind, {}), fresh, kept_fields(record, feed))
        for kind, feed in record["feeds"].items()
    }
    return {**record, "columns": columns, "feeds": feeds}


def _with_feed_columns(
    feed: Mapping[str, Any],
    change: Mapping[str, Any],
    fresh: Iterable[str],
    kept: frozenset[str],
) -> dict[str, Any]:
    added = set(change.get("add", {}))
    without = (set(feed.get("without", ())) | set(fresh)) - added
    withdrawn = set(change.get("drop", ())) - kept
    return {**feed, "without": sorted(without | withdrawn), "withdrawn": sorted(withdrawn)}


def kept_fields(record: Mapping[str, Any], feed: Mapping[str, Any]) -> frozenset[str]:
    """Fields that a feed needs, and that an overlay therefore does not drop."""
    return frozenset([*record["key"], "Division", feed.get("cursor", "Division")])
