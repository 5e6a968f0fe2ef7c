"""Checks without calls: the pipeline, the settings, the tokens."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...auth import storage_from_settings
from ...auth.storage.protocol import StorageAdapter
from ...auth.tokens import UNUSED_LIFE_S
from ...client.retry import FEW_ATTEMPTS
from ...connect import make_read_only_run
from ...errors import AuthenticationError, ConfigurationError, ExactError
from ...loading.session import adaptation_file
from ...settings import SECTION, load_settings
from ...source import make_options
from .._output.stored_syncs import stored_divisions
from .._output.tables import span
from ..connect import make_pipeline, with_folder
from ..settings_options import refuse_wrong_options

if TYPE_CHECKING:
    import dlt

    from ...auth import TokenData
    from ...auth.storage.from_settings import BuiltInStorage
    from ...clock import Clock
    from ...connect import ReadOnlyRun
    from ...settings import Settings
    from .findings import Findings

DAY_S = 86_400.0
SOON_S = 7 * DAY_S
LOGIN = AuthenticationError.code


def check_pipeline(
    findings: Findings, destination: str, dataset: str, name: str
) -> dlt.Pipeline | None:
    """The pipeline; ``None`` if an option is wrong."""
    try:
        return make_pipeline(destination, dataset, name)
    except ConfigurationError as error:
        findings.fail("destination", error)
        return None


def check_connection(
    findings: Findings,
    region: str | None,
    base_url: str | None,
    pipeline: dlt.Pipeline | None,
    clock: Clock,
) -> ReadOnlyRun | None:
    """A run for calls to Exact Online; ``None`` if settings or tokens do not allow it."""
    settings = check_settings(findings, region, base_url, clock)
    if settings is None:
        findings.add("tokens", "skipped", "not looked at before the settings are complete")
        return None
    try:
        storage = storage_from_settings(settings, pipeline)
    except ConfigurationError as error:
        findings.fail("tokens", error)
        return None
    if not check_tokens(findings, storage, clock):
        findings.add("connection", "skipped", "not tried without tokens")
        return None
    # The list is read through the user's current division, so that a chosen one may be blocked.
    run = make_read_only_run(make_options(), settings, storage, clock, attempts=FEW_ATTEMPTS)
    if pipeline is not None:
        run.connection.adapt(adaptation_file(pipeline).load(settings.base_url))
        run.divisions.recall(lambda: stored_divisions(pipeline))
    return run


def check_settings(
    findings: Findings, region: str | None, base_url: str | None, clock: Clock
) -> Settings | None:
    """The settings; ``None`` if one is missing or wrong, which is added to the findings."""
    errors = list(_setting_errors(region, base_url))
    for error in errors:
        findings.fail("settings", with_folder(error))
    if errors:
        return None
    settings = load_settings(region=region, base_url=base_url)
    try:
        refuse_wrong_options(settings, clock)
    except ConfigurationError as error:
        findings.fail("settings", error)
        return None
    findings.add("settings", "ok", f"client id and secret for {settings.base_url}")
    if not settings.redirect_uri:
        findings.add(
            "settings",
            "warning",
            f"{SECTION}.redirect_uri is not set",
            "it is needed to log in again; set it exactly as registered with the app",
        )
    return settings


def _setting_errors(region: str | None, base_url: str | None) -> Iterator[ConfigurationError]:
    """One error for each setting that is missing, or for the first that is wrong."""
    given = {"region": region, "base_url": base_url}
    for name in ("client_id", "client_secret", ""):
        try:
            load_settings(**given)
        except ConfigurationError as error:
            yield error
            if not name or f"{SECTION}.{name} " not in str(error):
                return
        given[name] = "x"  # so that the next iteration finds the next missing setting


def check_tokens(findings: Findings, storage: BuiltInStorage, clock: Clock) -> bool:
    """Whether there are tokens that may still work."""
    try:
        tokens = asyncio.run(read_tokens(storage))
    except ExactError as error:
        findings.fail("tokens", error)
        return False
    where = storage.describe()
    if tokens is None:
        findings.add("tokens", "failed", f"none in {where}", "run `exact-source login`", LOGIN)
        return False
    age_s, left_s = token_age(tokens, clock.now())
    found = f"refreshed {span(age_s)} ago, in {where}"
    if left_s <= 0:
        findings.add(
            "tokens",
            "failed",
            f"{found}: unused for over 30 days, so they have expired",
            "run `exact-source login`",
            LOGIN,
        )
        return False
    found += f"; good for {span(left_s)} without a sync"
    remedy = "sync soon: tokens expire unused after 30 days" if left_s < SOON_S else ""
    findings.add("tokens", "warning" if remedy else "ok", found, remedy)
    return True


async def read_tokens(storage: BuiltInStorage) -> TokenData | None:
    """The stored tokens, read under the lock so that no other process is refreshing them."""
    async with StorageAdapter(storage).locked(asyncio.get_running_loop()) as locked:
        return await locked.get()


def token_age(tokens: TokenData, now: float) -> tuple[float, float]:
    """Seconds since the tokens were issued, and until they expire if unused (API 1.2)."""
    age_s = max(0.0, tokens.age_s(now))
    return age_s, UNUSED_LIFE_S - age_s
