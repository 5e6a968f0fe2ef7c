"""Headers that are missing or have a different meaning."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta

from ..rules.limits import DAY_S

DAY, MINUTE = "x-ratelimit-", "x-ratelimit-minutely-"
CONTRACT = "x-ratelimit-contract-"
LATER_S = 37
OTHER_LIMIT = 300
CONTRACT_LIMIT = "20000"


def changed_headers(
    active: Collection[str], headers: Mapping[str, str], offset: timedelta
) -> dict[str, str]:
    """The headers, changed by the active deviations; names are in lower case."""
    found = dict(headers)
    for name, value in headers.items():
        if name.endswith("-reset"):
            found[name] = str(_reset(active, name, int(value), offset))
    if "other-limits" in active and f"{MINUTE}limit" in found:
        found[f"{MINUTE}limit"] = str(OTHER_LIMIT)
    if "odata-3" in active and "dataserviceversion" in found:
        found["dataserviceversion"] = "3.0;"
    if "contract-headers" in active and any(name.startswith(DAY) for name in headers):
        found[f"{CONTRACT}limit"] = CONTRACT_LIMIT
    return {name: value for name, value in found.items() if not _is_left_out(active, name)}


def _reset(active: Collection[str], name: str, ms: int, offset: timedelta) -> int:
    if "sliding-minute" in active and name.startswith(MINUTE):
        ms += LATER_S * 1000
    if "local-day" in active and not name.startswith(MINUTE):
        ms += DAY_S * 1000 - int(offset.total_seconds()) * 1000
    return ms // 1000 if "reset-in-seconds" in active else ms


def _is_left_out(active: Collection[str], name: str) -> bool:
    if name == "date":
        return "no-date-header" in active
    if name.startswith(MINUTE):
        return "no-minute-headers" in active
    is_of_day = name.startswith(DAY) and not name.startswith(CONTRACT)
    return is_of_day and "no-day-headers" in active
