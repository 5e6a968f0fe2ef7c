"""The dlt source: ``exact_online(...)``, one resource per entity of Exact Online."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from math import inf
from typing import TYPE_CHECKING, Any, Literal, cast

import dlt
from dlt.common.configuration.container import Container
from dlt.common.pipeline import PipelineContext
from dlt.extract.resource import DltResource
from dlt.extract.source import DltSource

from .auth import TokenStorage, storage_from_settings
from .catalogue import Catalogue, choose_entities, load_catalogue
from .catalogue.feeds import Route, check_route
from .catalogue.parameters import check_parameters, reason_not_read
from .catalogue.selection import suggest
from .client.limits import DAY_S, Limits
from .client.observing import Observer
from .clock import Clock, SystemClock
from .connect import connector
from .engine.run import Run
from .errors import ConfigurationError
from .loading.resources import make_log_resource, make_resource, run_behind
from .loading.session import Session
from .loading.state import LOG_RESOURCE
from .options import (
    ROUND_ROWS,
    ROUND_S,
    Deletes,
    Options,
    StartBy,
    TableFormat,
    parse_companies,
    parse_window,
)
from .personal_data import parse_personal_data
from .settings import Settings, load_settings, parse_flag
from .workers.leases import SqlLeases

if TYPE_CHECKING:
    from .catalogue.names import EntityName

    Word = Literal["all", "core"]
    Chosen = EntityName | Word | Sequence[EntityName | Word] | None
else:
    Chosen = Any  # dlt would turn what a settings file says into this type

# How often the keys of entities without tombstones are compared.
RECONCILE_DAYS = 7.0
PARAMETERS = "sources.exact_online.parameters"
START_BY = "sources.exact_online.start_by"
EXCLUDE_COLUMNS = "sources.exact_online.exclude_columns"
HASH_COLUMNS = "sources.exact_online.hash_columns"
TABLE_FORMAT = "sources.exact_online.table_format"
CHANGE_LOG = "sources.exact_online.change_log"
FLAGS = {"raw_codes", "retry_refused", "strict", "utc_instants"}


def make_options(  # noqa: PLR0913 (settings, all by name, all with a default)
    *,
    divisions: str | Iterable[int | str] = "all",
    exclude_divisions: str | Iterable[int | str] = (),
    start_date: str | date | None = None,
    end_date: str | date | None = None,
    start_by: str | None = None,
    route: Route = "auto",
    deletes: str = "hard",
    full_refresh: bool | Iterable[str] = False,
    reconcile: bool | Iterable[str] = False,
    reconcile_days: float | None = RECONCILE_DAYS,
    trust_empty: bool | Iterable[str] = False,
    table_format: str | None = None,
    change_log: bool | None = None,
    history: str | bool | Iterable[str] = False,
    parameters: Mapping[str, Any] | None = None,
    exclude_columns: Any = None,
    hash_columns: Any = None,
    clock: Clock | None = None,
    **more: Any,
) -> Options:
    """Checked options. ``clock`` decides whether ``start_date`` is in the future.

    Raises:
        ConfigurationError: If an option is not valid; the message names it.
    """
    catalogue = load_catalogue()
    check_route(route, list(catalogue.entities))
    if deletes not in {"hard", "soft", "ignore"}:
        raise ConfigurationError(f"deletes is {deletes!r}; use hard, soft or ignore")
    if start_by is None:
        start_by = dlt.config.get(START_BY, str) or "modified"
    if start_by not in {"modified", "timestamp"}:
        raise ConfigurationError(f"start_by is {start_by!r}; use modified or timestamp")
    start_ms, end_ms = parse_window(start_date, end_date)
    # The extra day allows for time zones and for a wrong clock.
    if start_ms is not None and start_ms > ((clock or SystemClock()).now() + DAY_S) * 1000:
        raise ConfigurationError(
            f"start_date {start_date} is in the future, so there are no rows to load; use an earlier date"
        )
    if end_ms is not None:
        # Rows outside of a window are not read, so a window cannot find deleted rows.
        deletes, full_refresh, reconcile = "ignore", False, False
    companies = parse_companies(divisions, exclude_divisions)
    for name in FLAGS & more.keys():
        _flag(name, more[name])
    return Options(
        divisions=() if companies.needs_names else companies.codes,
        companies=companies,
        route=route,
        deletes=cast("Deletes", deletes),
        start_ms=start_ms,
        end_ms=end_ms,
        start_by=cast("StartBy", start_by),
        full_refresh=_names("full_refresh", full_refresh, catalogue),
        reconcile=_names("reconcile", reconcile, catalogue),
        trust_empty=_names("trust_empty", trust_empty, catalogue),
        history=_names("history", history, catalogue),
        table_format=_table_format(table_format),
        change_log=_change_log(change_log),
        reconcile_s=_reconcile_s(reconcile_days),
        parameters=check_parameters(
            dlt.config.get(PARAMETERS, dict) if parameters is None else parameters
        ),
        personal_data=parse_personal_data(
            dlt.config.get(EXCLUDE_COLUMNS) if exclude_columns is None else exclude_columns,
            dlt.config.get(HASH_COLUMNS) if hash_columns is None else hash_columns,
            catalogue,
        ),
        **more,
    )


def _names(
    setting: str, chosen: str | bool | Iterable[str] | None, catalogue: Catalogue
) -> frozenset[str]:
    """Entities that a setting names; ``True`` and ``all`` name every one."""
    if isinstance(chosen, str):
        chosen = [name.strip() for name in chosen.split(",") if name.strip()]
    names = {"all"} if chosen is True else set(chosen or ())
    if "all" in names:
        return frozenset(catalogue.entities)
    for name in names.difference(catalogue.entities):
        raise ConfigurationError(f"{setting}: {name!r} is unknown; {suggest(name, catalogue)}")
    return frozenset(names)


def _change_log(chosen: bool | None) -> bool:
    if chosen is not None:
        return _flag("change_log", chosen)
    value: Any = dlt.config.get(CHANGE_LOG)
    return False if value is None else parse_flag("change_log", value)


def _flag(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise ConfigurationError(f"{name} is {value!r}; use True or False")


def _reconcile_s(days: Any) -> float | None:
    """Seconds between comparisons of keys; ``None`` for never."""
    if days is None or days == inf:
        return None
    if isinstance(days, int | float) and days >= 0:
        return days * DAY_S
    raise ConfigurationError(f"reconcile_days is {days!r}; use 0 or more, or inf for never")


def _table_format(chosen: str | None) -> TableFormat | None:
    chosen = chosen or dlt.config.get(TABLE_FORMAT, str)
    if chosen not in {None, "delta", "iceberg"}:
        raise ConfigurationError(f"table_format is {chosen!r}; use delta or iceberg")
    return cast("TableFormat | None", chosen)


def make_run(
    options: Options,
    settings: Settings,
    token_storage: TokenStorage,
    *,
    clock: Clock | None = None,
    limits: Limits | None = None,
    leases: SqlLeases | None = None,
    observe: Observer | None = None,
) -> Run:
    """A run over a connection. ``leases``: of several workers; ``observe`` is called with each reply."""
    clock, limits = clock or SystemClock(), limits or Limits()
    options = replace(
        options,
        zone_slack_s=settings.zone_slack_s,
        personal_data=options.personal_data.with_key(settings.hash_key or ""),
    )
    connect = connector(
        settings, token_storage, limits=limits, clock=clock, leases=leases, observe=observe
    )
    return Run(options, connect, clock=clock, limits=limits, leases=leases)


def resources_of(
    session: Session, selected: Sequence[str], others: Iterable[str] = ()
) -> Iterator[DltResource]:
    """Resources; those of ``selected`` are selected, in that order of turns, and so is the sync log."""
    catalogue = load_catalogue()
    ranks = {name: position for position, name in enumerate(selected)}
    for name in [*selected, *(n for n in others if n not in ranks)]:
        entity = catalogue.entities[name]
        if reason_not_read(entity) is None:
            yield make_resource(
                session, entity, rank=ranks.get(name, len(ranks)), selected=name in ranks
            )
    yield make_log_resource(session)


def _active_pipeline() -> dlt.Pipeline | None:
    """The pipeline made last; ``dlt.current.pipeline()`` would make one."""
    context = Container()[PipelineContext]
    return cast("dlt.Pipeline", context.pipeline()) if context.is_active() else None


class ExactSource(DltSource):
    """The source; its sync log stays selected, whatever resources a user selects."""

    def with_resources(self, *resource_names: str) -> DltSource:
        """A copy of the source that loads these resources and the sync log."""
        return super().with_resources(*resource_names, LOG_RESOURCE)

    def clone(self, with_name: str | None = None) -> DltSource:
        """A copy of the source."""
        schema = self.schema.clone(with_name=with_name)  # type: ignore[arg-type]  # as dlt calls it
        return type(self)(schema, self.section, list(self.resources.values()))


@dlt.source(name="exact_online", section="exact_online", max_table_nesting=0, _impl_cls=ExactSource)
def exact_online(  # noqa: PLR0913, PLR0917 (settings, all by name, all with a default)
    divisions: Any = "all",
    entities: Chosen = None,
    start_date: str | None = None,
    end_date: str | None = None,
    start_by: Literal["modified", "timestamp"] = "modified",
    route: Any = "auto",
    deletes: Literal["hard", "soft", "ignore"] = "hard",
    full_refresh: bool = False,
    reconcile: bool = False,
    reconcile_days: float | None = RECONCILE_DAYS,
    trust_empty: Any = False,
    history: Any = False,
    table_format: str | None = None,
    change_log: bool | None = None,
    exclude_divisions: Any = (),
    retry_refused: bool = False,
    strict: bool = False,
    exclude_columns: Any = None,
    hash_columns: Any = None,
    region: str | None = None,
    base_url: str | None = None,
    client_id: str | None = None,
    client_secret: str | None = None,
    redirect_uri: str | None = None,
    token_storage: Any = None,
    reserve_calls: int = 0,
    contract_cap: int | None = None,
    max_calls: int | None = None,
    round_minutes: float = ROUND_S / 60,
    max_pages: int | None = None,
    utc_instants: bool = False,
    raw_codes: bool = False,
    parameters: Any = None,
    leases: Any = None,
    clock: Any = None,
) -> Any:
    """Everything that Exact Online lets an app read, as dlt resources.

    Args:
        divisions: Division codes and company names such as "Smit*", or "all" for all companies that the
            app may see and that are not blocked.
        entities: Names of the resources to select, or "all"; default the core set.
        start_date: Load only rows changed since this ISO date.
        end_date: Load only rows changed before this date. Such a window has its own cursors, deletes
            nothing, and does not affect syncs without ``end_date``.
        start_by: "modified" misses no rows. With "timestamp" a first read begins at the row version that
            Exact returns for ``start_date``, which takes fewer calls; see docs/entities.md.
        route: "auto" (cheapest feed of the same rows), "sync", "bulk", "regular", or a mapping per
            entity.
        deletes: "hard" removes deleted rows, "soft" keeps them with ``_deleted_at``, "ignore" keeps them.
        full_refresh: Read everything from the start, without the stored cursors.
        reconcile: Compare all keys with Exact now, and remove deleted rows.
        reconcile_days: Days between automatic comparisons of keys, for entities whose deletions Exact does
            not list; ``inf`` for never. See docs/deletes.md.
        trust_empty: Entities whose empty answer deletes their stored rows without a check of the
            user's rights; see docs/how-it-works.md.
        history: Entities whose earlier states are kept, in tables such as ``accounts_history``; see
            docs/history.md. A sync ignores those that it does not read.
        table_format: "delta" or "iceberg", for files; see docs/destinations.md.
        change_log: Append rows and deletions instead of merging them, so that tables contain all states;
            see docs/destinations.md.
        exclude_divisions: Codes and names of companies to skip.
        retry_refused: Request streams again now that were refused in the last 7 days because a module,
            right or scope is missing.
        exclude_columns: Columns that are never requested, such as ``["accounts.email"]``, or
            "personal"; see docs/personal-data.md.
        hash_columns: Columns that are loaded as keyed hashes; the key is the setting ``hash_key``.
        strict: Let refused streams and blocked companies change the exit code of ``run_to_end``.
        region: Country of the site: nl, be, de, uk, us, es or fr.
        base_url: Origin of the site, instead of ``region``; plain http for loopback only.
        client_id: Client id of the registered app.
        client_secret: Client secret of the registered app.
        redirect_uri: Redirect URI exactly as registered with the app.
        token_storage: Storage of the tokens: an object, or ``file``, ``sql`` or ``dlt``; default is the
            setting of this name.
        reserve_calls: Daily calls of each division that are reserved for other programs.
        contract_cap: Most calls per day over all divisions; counts the calls of syncs into the dataset, not
            those of other commands.
        max_calls: Most calls of this run.
        round_minutes: Minutes after which this run stops if it has read anything. The next run continues
            there; ``run_to_end`` repeats runs until everything is read.
        max_pages: Pages after which this run stops in the same way.
        utc_instants: Add ``created_utc`` and ``modified_utc``, which are in UTC.
        raw_codes: Add columns such as ``code_raw``, with the spaces with which Exact pads codes.
        parameters: Parameter values of functions instead of the defaults, such as
            ``{"years": [2024, 2025]}``; see docs/entities.md.
        leases: ``SqlLeases`` that are entered around the whole run, if several workers share the divisions;
            see docs/many-companies.md.
        clock: Clock, for tests.

    Raises:
        ConfigurationError: If an argument is wrong or a setting missing; the message names it.
    """
    settings = load_settings(
        region=region,
        base_url=base_url,
        client_id=client_id,
        client_secret=client_secret,
        redirect_uri=redirect_uri,
    )
    options = make_options(
        divisions=divisions,
        exclude_divisions=exclude_divisions,
        start_date=start_date,
        end_date=end_date,
        start_by=start_by,
        route=route,
        deletes=deletes,
        full_refresh=full_refresh,
        reconcile=reconcile,
        reconcile_days=reconcile_days,
        trust_empty=trust_empty,
        history=history,
        table_format=table_format,
        change_log=change_log,
        round_s=round_minutes * 60,
        round_rows=ROUND_ROWS,
        max_pages=max_pages,
        utc_instants=utc_instants,
        raw_codes=raw_codes,
        parameters=parameters,
        retry_refused=retry_refused,
        strict=strict,
        exclude_columns=exclude_columns,
        hash_columns=hash_columns,
        clock=clock,
    )
    selected = choose_entities(entities, load_catalogue())
    limits = Limits(reserve=reserve_calls, contract_cap=contract_cap, max_calls=max_calls)
    if token_storage is None or isinstance(token_storage, str):  # dlt fills it with the setting
        settings = replace(settings, token_storage=token_storage or settings.token_storage)
        token_storage = storage_from_settings(settings, _active_pipeline())
    run = make_run(options, settings, token_storage, clock=clock, limits=limits, leases=leases)
    yield from resources_of(Session(run), selected, load_catalogue().entities)


def run_of(source: DltSource) -> Run:
    """The run that all resources of a source belong to.

    Raises:
        ConfigurationError: If it is not a source of this package.
    """
    for resource in source.resources.values():
        if (run := run_behind(resource)) is not None:
            return run
    raise ConfigurationError(f"source {source.name} was not made by exact_online(...)")


@dlt.source(name="exact_online", section="exact_online", max_table_nesting=0)
def run_source(session: Any, selected: Any) -> Any:
    """One round of a run with several rounds."""
    yield from resources_of(session, selected)
