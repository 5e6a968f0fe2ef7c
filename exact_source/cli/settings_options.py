"""Settings as defaults of options, so that all commands choose the same companies and entities.

Options for one run only (``full_refresh``, ``reconcile``, ``retry_refused``) are never taken from a setting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any

import typer

from ..settings import SECTION, parse_flag, wrong_setting

if TYPE_CHECKING:
    from ..clock import Clock
    from ..settings import Settings

COMMANDS = {"sync", "plan", "check", "subscribe", "list_", "unsubscribe"}
LEAST_MINUTES = 0.01  # of a round
# Options that are no option of the source.
OF_A_RUN = frozenset({"entities", "round_minutes", "max_calls", "reserve_calls", "contract_cap"})


def with_settings(context: typer.Context, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a command; options that were not given get the values of the settings.

    Raises:
        ConfigurationError: If the value of a setting is not valid for the option.
    """
    wanted = [name for name in arguments if name in OPTIONS and not is_given(context, name)]
    return {**arguments, **stored_options(wanted)}


def stored_options(names: Iterable[str]) -> dict[str, Any]:
    """The values of those options that have a setting.

    Raises:
        ConfigurationError: If the value of a setting is not valid for the option.
    """
    from dlt import config

    values: dict[str, Any] = {name: config.get(f"{SECTION}.{name}") for name in names}
    return {name: OPTIONS[name](name, v) for name, v in values.items() if v is not None}


def refuse_wrong_options(settings: Settings, clock: Clock) -> None:
    """Check all settings that ``sync`` reads as options, for commands that say what a sync would do.

    Raises:
        ConfigurationError: If ``sync`` would refuse one.
    """
    from ..source import make_options
    from ..workers.leases import leases_from_settings
    from ._output.options import parse_route

    stored = {"history": "", **stored_options(OPTIONS)}
    stored["history"] = stored["history"] or False
    route = parse_route(stored.pop("route", None))
    for name in OF_A_RUN & stored.keys():
        del stored[name]
    options = make_options(**stored, route=route, clock=clock)
    options.personal_data.with_key(settings.hash_key or "")
    leases_from_settings(settings)


def is_given(context: typer.Context, name: str) -> bool:
    """Whether an option was given, so that no setting replaces it."""
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _text(_name: str, value: Any) -> str:
    return str(value)


def _names(_name: str, value: Any) -> str:
    """``["a", "b"]`` -> ``a,b``; ``True`` names all."""
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return {"true": "all", "false": ""}.get(str(value).lower(), str(value))


def _routes(_name: str, value: Any) -> list[str]:
    """A route, or a route for each entity, in the form of ``--route``."""
    if isinstance(value, Mapping):
        return [f"{entity}={route}" for entity, route in value.items()]
    return [str(value)]


def _flag(name: str, value: Any) -> bool:
    return parse_flag(name, value)


def _count(name: str, value: Any, least: int = 1) -> int:
    with suppress(ValueError):
        if (count := int(str(value))) >= least:
            return count
    raise wrong_setting(name, value, f"a whole number, {least} or more")


def _minutes(name: str, value: Any) -> float:
    with suppress(ValueError):
        if LEAST_MINUTES <= (minutes := float(str(value))) < inf:
            return minutes
    raise wrong_setting(name, value, f"a number of minutes, {LEAST_MINUTES} or more")


def _days(name: str, value: Any) -> float:
    with suppress(ValueError):
        if (days := float(str(value))) >= 0:
            return days
    raise wrong_setting(name, value, "a number of days, 0 or more, or inf for never")


# Option -> how its setting is read; names and routes are checked later, as for options.
OPTIONS: Mapping[str, Callable[[str, Any], Any]] = {
    "divisions": _names,
    "exclude_divisions": _names,
    "entities": _names,
    "trust_empty": _names,
    "history": _names,
    "route": _routes,
    "deletes": _text,
    "start_date": _text,
    "reconcile_days": _days,
    "round_minutes": _minutes,
    "max_calls": _count,
    "reserve_calls": partial(_count, least=0),
    "contract_cap": _count,
    "strict": _flag,
    "utc_instants": _flag,
    "raw_codes": _flag,
}
