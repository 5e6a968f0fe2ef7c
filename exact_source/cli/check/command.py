"""Options of ``exact-source check``, the order of the checks, and the output."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from ...errors import ConfigurationError
from .._output.logs import notes
from .._output.options import (
    WHAT,
    AsJson,
    BaseUrl,
    Dataset,
    Destination,
    Divisions,
    Entities,
    ExcludeDivisions,
    PipelineName,
    Region,
)
from .findings import Finding, Findings

STYLES = {"ok": "green", "warning": "yellow", "failed": "red", "skipped": "dim"}


def check(  # noqa: PLR0913, PLR0917 (options of a command)
    context: typer.Context,
    destination: Destination = "",
    dataset: Dataset = "exact_online",
    divisions: Divisions = "all",
    exclude_divisions: ExcludeDivisions = "",
    entities: Entities = None,
    all_divisions: Annotated[
        bool,
        typer.Option(
            "--all-divisions",
            help="Check the rights in every division, not only in the first.",
            rich_help_panel=WHAT,
        ),
    ] = False,
    region: Region = None,
    base_url: BaseUrl = None,
    pipeline_name: PipelineName = "exact_online",
    as_json: AsJson = False,
) -> None:
    """Check everything that a sync needs; loads nothing.

    Checks settings, tokens, connection, divisions, rights and destination. No endpoint is tried:
    refusals would count toward Exact's error limit. An entity that may not be read is a warning,
    because a sync skips it. The exit code is 0 if a sync can run, 1 if something failed, 2 if a
    setting is missing or wrong, and 3 if nothing is wrong, but the day's calls are used up or
    another process has the DuckDB file open.

    Example: exact-source check --destination postgres --entities accounts,transaction_lines
    """
    import asyncio

    from ...catalogue import choose_entities, load_catalogue
    from ...options import Companies, parse_companies
    from .._output.display import asking
    from ..connect import clock_of
    from .destination import check_destination
    from .exact_online import check_exact
    from .machine import check_connection, check_pipeline

    findings = Findings()
    names: list[str] = []
    companies = Companies()
    try:
        names = choose_entities(entities, load_catalogue())
        companies = parse_companies(divisions, exclude_divisions)
    except ConfigurationError as error:
        findings.fail("options", error)
    pipeline = check_pipeline(findings, destination, dataset, pipeline_name)
    run = check_connection(findings, region, base_url, pipeline, clock_of(context))
    if run is not None:
        with asking(run):
            asyncio.run(check_exact(findings, run, names, companies, all_divisions=all_divisions))
    if pipeline is not None:
        check_destination(findings, pipeline)
    _show(findings, as_json=as_json)
    if findings.exit_code:
        say_first(findings)
        raise typer.Exit(findings.exit_code)


def say_first(findings: Findings) -> None:
    """Print one line about the first thing to correct."""
    chosen = [f for f in findings.failed if f.configuration] or findings.failed
    first, more = chosen[0], len(findings.failed) - 1
    where = "" if first.found.startswith(first.check) else f"{first.check}: "
    text = f"{where}{first.found}" + (f"; {first.remedy}" if first.remedy else "")
    facts = {"code": first.code, "exit_code": findings.exit_code, "failed": len(findings.failed)}
    also = f" (and {more} more, see above)" if more else ""
    notes.error("error: %s%s", text, also, extra={"facts": facts})


def shortened(found: list[Finding]) -> list[Finding]:
    """The findings, with all granted rights as one."""
    rights = [f for f in found if (f.check, f.state) == ("rights", "ok")]
    if len(rights) <= 1:
        return found
    where = rights[0].found.partition(" in ")[2]
    one = Finding("rights", "ok", f"all of the other {len(rights)} entities in {where}")
    if not any(f.check == "rights" and f.code for f in found):
        one = Finding("rights", "ok", f"all {len(rights)} entities in {where}")
    return [one if f is rights[0] else f for f in found if f is rights[0] or f not in rights]


def _show(findings: Findings, *, as_json: bool) -> None:
    from .._output.tables import Column, make_console, print_json, print_table, styled

    if as_json:
        checks = [asdict(f) for f in findings.all]
        print_json({"checks": checks, "exit_code": findings.exit_code})
        return
    rows = [
        [styled(f.state, STYLES[f.state]), f.check, f.found + (f"; {f.remedy}" if f.remedy else "")]
        for f in shortened(findings.all)
    ]
    print_table(make_console(), (Column(""), Column(""), Column("", wraps=True)), rows)
