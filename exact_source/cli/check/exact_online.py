"""Checks with calls to Exact Online: the connection, the divisions, the rights."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from ...catalogue import load_catalogue
from ...catalogue.feeds import plan_feeds
from ...catalogue.parameters import reason_not_read
from ...client.call import Call
from ...client.lists import read_all
from ...engine.divisions import Division
from ...errors import ConfigurationError, ExactError, LimitError, RefusedError
from ...odata.page import PageSchema
from ...wording import plural
from .._output.streams import some
from .._output.tables import local_clock
from ..divisions import status_text
from ..side_by_side import for_each

if TYPE_CHECKING:
    from ...catalogue import Entity
    from ...connect import ReadOnlyRun
    from ...options import Companies
    from .findings import Findings


async def check_exact(
    findings: Findings,
    run: ReadOnlyRun,
    entities: list[str],
    companies: Companies,
    *,
    all_divisions: bool,
) -> None:
    """Connection, divisions, rights."""
    async with run.connected():
        if not await check_me(findings, run):
            findings.add("divisions", "skipped", "not asked without a connection")
            return
        found = await check_divisions(findings, run, companies)
        if not found:
            findings.add("rights", "skipped", "not asked without a company")
            return
        asked = found if all_divisions else found[:1]
        await check_rights(findings, run, entities, asked)
        if len(asked) < len(found):
            findings.add(
                "rights",
                "skipped",
                f"{plural(len(found) - len(asked), 'other division')} not checked",
                "--all-divisions checks them too",
            )


async def check_me(findings: Findings, run: ReadOnlyRun) -> bool:
    """Whether Exact Online answers; ``current/Me`` does not count toward limits (API 2.1)."""
    entity = load_catalogue().entities["me"]
    fields = ["UserID", "FullName", "CurrentDivision", "UserName"]
    schema = PageSchema(entity, entity.feeds["regular"], fields)
    try:
        table = await read_all(run.connection.client, Call(None, "current/Me", "me"), schema)
    except ExactError as error:
        findings.fail("connection", error)
        return False
    user: dict[str, object] = next(iter(table.to_pylist()), {})
    name = user.get("full_name") or user.get("user_name") or "an unnamed user"
    findings.add("connection", "ok", f"{run.connection.client.base_url} as {name}")
    return True


async def check_divisions(
    findings: Findings, run: ReadOnlyRun, companies: Companies
) -> list[Division]:
    """The wanted divisions that can be read."""
    wanted = await seen_divisions(findings, run, companies)
    found = [d for d in wanted if not d.blocked]
    blocked: defaultdict[int, list[str]] = defaultdict(list)
    for division in wanted:
        if division.blocked:
            blocked[division.blocked].append(_named(division))
    for status, names in blocked.items():
        findings.add(
            "divisions",
            "warning" if found else "failed",
            f"{some(names, 3)} {'is' if len(names) == 1 else 'are'} {status_text(status)}",
            "a sync skips it until Exact opens it",
        )
    if found:
        shown = some([_named(d) for d in found], 3)
        findings.add("divisions", "ok", f"{len(found)} open: {shown}")
    return found


async def seen_divisions(
    findings: Findings, run: ReadOnlyRun, companies: Companies
) -> list[Division]:
    """The wanted divisions that exist, chosen as a sync does."""
    try:
        visible = {d.code: d for d in await run.divisions.chosen()}
        codes = companies.choose({d.code: d.name for d in visible.values()})
    except RefusedError as error:
        if companies.needs_names or not companies.codes:
            findings.fail("divisions", error)
            return []
        findings.add(
            "divisions",
            "warning",
            "the list cannot be read through the user's current division",
            "the chosen ones are taken as they are",
        )
        return [Division(code) for code in companies.codes]
    except ExactError as error:
        findings.fail("divisions", error)
        return []
    if missing := [code for code in codes if code not in visible]:
        wrong = ConfigurationError(
            f"divisions: {_shortened([str(code) for code in missing])} cannot be seen by this app and "
            "user; see `exact-source divisions`"
        )
        findings.fail("divisions", wrong)
    return [visible[code] for code in codes if code in visible]


async def check_rights(
    findings: Findings, run: ReadOnlyRun, names: list[str], divisions: list[Division]
) -> None:
    """Call ``UserHasRights`` for each entity; Exact does not count these calls (API 2.1, 5).

    A missing right is a warning, because a sync skips the stream, unless nothing can be read at all.
    """
    catalogue = load_catalogue()
    entities = [catalogue.entities[name] for name in names]
    asked = [e for e in entities if e.name != "me" and reason_not_read(e) is None]
    missing: dict[str, list[Division]] = {}
    try:
        for entity in asked:
            missing[entity.name] = await _divisions_without(run, entity, divisions)
    except LimitError as error:
        again = f"ask again after {local_clock(error.resumes_at)}"
        findings.add("rights", "warning", f"{error}", again)
    except RefusedError as error:
        findings.add(
            "rights",
            "warning",
            f"rights cannot be asked: {error}",
            "a sync tells what may not be read",
        )
    except ExactError as error:
        findings.fail("rights", error)
    reads_nothing = "me" not in names and all(
        len(missing.get(e.name, ())) == len(divisions) for e in asked
    )
    for entity in asked:
        if entity.name in missing:
            _add_right(findings, entity, divisions, missing[entity.name], fails=reads_nothing)


async def _divisions_without(
    run: ReadOnlyRun, entity: Entity, divisions: list[Division]
) -> list[Division]:
    """The divisions in which the user may not read an entity."""
    plan = plan_feeds(entity, run.options.route)
    paths = {feed.path for feed in (plan.full, plan.increment) if feed is not None}
    has_rights: dict[int, bool] = {}

    async def ask(code: int) -> None:
        calls = [Call(code, path, entity.name) for path in sorted(paths)]
        answers = [await run.connection.has_rights(call, call.path) for call in calls]
        has_rights[code] = all(answers)

    await for_each([division.code for division in divisions], ask)
    return [division for division in divisions if not has_rights[division.code]]


def _add_right(
    findings: Findings,
    entity: Entity,
    divisions: list[Division],
    without: list[Division],
    *,
    fails: bool,
) -> None:
    first = f"division {_named(divisions[0])}"
    where = first if len(divisions) == 1 else f"{len(divisions)} divisions"
    if not without:
        findings.add("rights", "ok", f"{entity.name} in {where}")
        return
    scope = f" (scope {entity.scope})" if entity.scope else ""
    module = f", see that the company has the module ({entity.module})" if entity.module else ""
    findings.add(
        "rights",
        "failed" if fails else "warning",
        f"{entity.name} may not be read in {_shortened([_named(d) for d in without])}",
        f"a sync skips it; to read it, give the user the role or the app the scope{scope}{module}",
        RefusedError.code,
    )


def _named(division: Division) -> str:
    return f"{division.code} {division.name}".strip()


def _shortened(companies: list[str]) -> str:
    shown = ", ".join(companies[:10])
    return shown if len(companies) <= 10 else f"{shown} and {len(companies) - 10} more"  # noqa: PLR2004
