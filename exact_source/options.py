"""What a user asked for, and what holds unless somebody asks for another thing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .catalogue.feeds import Route

Deletes = Literal["hard", "soft", "ignore"]
StartBy = Literal["modified", "timestamp"]

# What ends a round, unless somebody says otherwise: so much is lost at most, and waits to be loaded.
ROUND_S, ROUND_ROWS = 300.0, 1_000_000


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a user asked for.

    Attributes:
        divisions: Codes; empty for every division that the app may see.
        route: Feed for all entities, or per entity.
        deletes: What becomes of rows that are gone.
        start_ms: Rows older than this are not loaded: ``Modified`` digits in milliseconds.
        start_by: Whether ``start_ms`` counts by ``Modified`` alone, or sync feeds that can begin at a
            ``Timestamp`` for it, so that what lies below is not read.
        full_refresh: Entities to read anew, whatever their cursor says.
        reconcile: Entities whose keys are compared in this run.
        reconcile_s: Seconds after which that is done for entities without tombstones; ``None``: never.
        history: Entities whose earlier states are kept, in tables of their own.
        utc_instants: Add ``created_utc`` and ``modified_utc``.
        raw_codes: Add ``code_raw`` and the like, codes with the spaces that Exact pads them with.
        zone_slack_s: How far the site's wall clock may run behind UTC.
        parameters: Setting -> values that functions are asked with, instead of those of their parents.
        round_pages: Pages after which a run stops, to be loaded and gone on with; ``None``: no limit.
        round_s: Seconds after which a run stops in the same way.
        round_rows: Rows after which a run stops in the same way.
        notices: ``(entity, division)`` -> mark of the last webhook that said it changed: only streams
            whose rows do not cover theirs are read; ``None``: all are.
        trust_empty: Entities whose empty answer is believed without a check.
    """

    divisions: tuple[int, ...] = ()
    route: Route = "auto"
    deletes: Deletes = "hard"
    start_ms: int | None = None
    start_by: StartBy = "modified"
    full_refresh: frozenset[str] = frozenset()
    reconcile: frozenset[str] = frozenset()
    reconcile_s: float | None = None
    history: frozenset[str] = frozenset()
    utc_instants: bool = False
    raw_codes: bool = False
    zone_slack_s: float = 0.0
    parameters: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    round_pages: int | None = None
    round_s: float | None = None
    round_rows: int | None = None
    notices: Mapping[tuple[str, int], str] | None = None
    trust_empty: frozenset[str] = frozenset()
