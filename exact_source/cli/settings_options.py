"""Settings as defaults of options, so that all commands choose the same companies and entities.

Options for one run only (``full_refresh``, ``reconcile``, ``retry_refused``) are never taken from a setting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import typer

from ..errors import ConfigurationError
from ..settings import SECTION

COMMANDS = {"sync", "plan", "check", "subscribe", "list_", "unsubscribe"}


def with_settings(context: typer.Context, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a command; options that were not given get the values of the settings.

    Raises:
        ConfigurationError: If the value of a setting is not valid for the option.
    """
    from dlt import config

    found = dict(arguments)
    for name, parse in OPTIONS.items():
        if name in found and not is_given(context, name):
            value: Any = config.get(f"{SECTION}.{name}")
            if value is not None:
                found[name] = _parsed(name, parse, value)
    return found


def is_given(context: typer.Context, name: str) -> bool:
    """Whether an option was given, so that no setting replaces it."""
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _parsed(name: str, parse: Callable[[Any], Any], value: Any) -> Any:
    try:
        return parse(value)
    except ValueError:
        raise ConfigurationError(
            f"{SECTION}.{name} is {value!r}, which is not {EXPECTED[parse]}; correct it in .dlt/config.toml"
        ) from None


def _names(value: Any) -> str:
    """``["a", "b"]`` -> ``a,b``; ``True`` names all."""
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return {"true": "all", "false": ""}.get(str(value).lower(), str(value))


def _routes(value: Any) -> list[str]:
    """A route, or a route for each entity, in the form of ``--route``."""
    if isinstance(value, Mapping):
        return [f"{entity}={route}" for entity, route in value.items()]
    return [str(value)]


def _flag(value: Any) -> bool:
    text = str(value).lower()
    if text not in {"true", "false"}:
        raise ValueError
    return text == "true"


def _count(value: Any) -> int:
    return int(_positive(int(str(value))))


def _number(value: Any) -> float:
    return _positive(float(str(value)))


def _positive(number: float) -> float:
    if not 0 <= number < float("inf"):
        raise ValueError
    return number


# Parser -> required form, for messages; names and routes are checked later, as for options.
EXPECTED: Mapping[Callable[[Any], Any], str] = {
    _flag: "true or false",
    _count: "a whole number",
    _number: "a number",
}
# Option -> how its setting is read.
OPTIONS: Mapping[str, Callable[[Any], Any]] = {
    "divisions": _names,
    "exclude_divisions": _names,
    "entities": _names,
    "trust_empty": _names,
    "history": _names,
    "route": _routes,
    "deletes": str,
    "start_date": str,
    "reconcile_days": _number,
    "round_minutes": _number,
    "max_calls": _count,
    "reserve_calls": _count,
    "contract_cap": _count,
    "strict": _flag,
    "utc_instants": _flag,
    "raw_codes": _flag,
}
