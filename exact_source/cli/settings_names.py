"""Refuses unknown settings: if ``deletes = "soft"`` were misspelt, rows would be deleted.

Subtables belong to dlt (``[sources.exact_online.extract]``) or to a resource, so a subtable is refused only
if its name resembles a setting. Variables with more parts, such as
``SOURCES__EXACT_ONLINE__EXTRACT__WORKERS``, are not checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from difflib import get_close_matches
from typing import Any

from ..errors import ConfigurationError
from ..settings import SECTION, Settings

PREFIX = f"{SECTION.replace('.', '__')}__".upper()
PAGE = "docs/settings.md lists all settings"
ALIKE = 0.8  # similarity of a subtable's name to that of a setting
# Arguments of ``exact_online(...)`` that are not settings of the connection, repeated because importing it
# takes seconds.
ARGUMENTS = {
    "change_log", "clock", "contract_cap", "deletes", "divisions", "end_date", "entities",
    "exclude_columns", "exclude_divisions", "full_refresh", "hash_columns", "history", "max_calls",
    "max_pages", "parameters", "raw_codes", "reconcile", "reconcile_days", "region", "reserve_calls",
    "retry_refused", "round_minutes", "route", "start_by", "start_date", "strict", "table_format",
    "trust_empty", "utc_instants",
}  # fmt: skip
OF_COMMANDS = {"catalogue_overlay", "destination"}
OF_WEBHOOKS = {"notices_url", "webhook_path", "webhook_secret"}
OF_APP = {"client_id", "client_secret"}
KNOWN = frozenset(f.name for f in fields(Settings)) | ARGUMENTS | OF_COMMANDS | OF_WEBHOOKS


def check_section(place: str, document: Mapping[str, Any]) -> None:
    """Check the names in our section of a settings file.

    Args:
        place: Path of the file, for the message.
        document: Content of the file.

    Raises:
        ConfigurationError: If a setting is unknown; the message contains no value.
    """
    found: Any = document
    for part in SECTION.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    if not isinstance(found, Mapping):
        if wrong := misplaced(document):
            raise ConfigurationError(f"{place}: [{wrong}] is not read; did you mean [{SECTION}]?")
        return
    for name in sorted(set(found) - KNOWN):
        if not isinstance(found[name], Mapping):
            _refuse(f"{place}: {SECTION}.{name}", nearest(name))
        elif (meant := nearest(name, ALIKE)) and not _is_entity(name):
            _refuse(f"{place}: {SECTION}.{name}", meant)


def misplaced(document: Mapping[str, Any], path: tuple[str, ...] = ()) -> str:
    """The table that looks like a misspelt section of ours, because it holds the app's id or secret."""
    name = ".".join(path)
    is_alike = "exact" in name or bool(get_close_matches(name, [SECTION], n=1, cutoff=ALIKE))
    if is_alike and OF_APP & document.keys() and not name.endswith(SECTION):
        return name
    tables = ((key, table) for key, table in document.items() if isinstance(table, Mapping))
    return next(filter(None, (misplaced(table, (*path, key)) for key, table in tables)), "")


def check_variables(names: Iterable[str]) -> None:
    """Check the names of environment variables that begin like our settings.

    Raises:
        ConfigurationError: If one is unknown.
    """
    for name in sorted(names):
        own = name.removeprefix(PREFIX)
        if own == name or "__" in own or own.lower() in KNOWN:
            continue
        meant = nearest(own.lower())
        _refuse(f"environment: {name}", meant and f"{PREFIX}{meant.upper()}")


def nearest(name: str, alike: float = 0.6) -> str:
    """The setting with the most similar name; empty if none is similar."""
    return next(iter(get_close_matches(name.lower(), sorted(KNOWN), n=1, cutoff=alike)), "")


def _is_entity(name: str) -> bool:
    from ..catalogue import load_catalogue

    return name in load_catalogue().entities


def _refuse(name: str, meant: str) -> None:
    hint = f"did you mean {meant}?" if meant else PAGE
    raise ConfigurationError(f"{name} is not a setting; {hint}")
