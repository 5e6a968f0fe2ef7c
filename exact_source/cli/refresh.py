"""``exact-source entities refresh``: compares the catalogue with ``$metadata`` of a live company."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ..errors import ConfigurationError, ExitCode
from ..wording import plural
from ._output.logs import notes

if TYPE_CHECKING:
    from ..client.metadata import Services
    from ..connect import ReadOnlyRun
    from ..odata.drift import Drift


def refresh(
    context: typer.Context,
    division: int | None,
    entities: str | None,
    write: Path | None,
    region: str | None,
    base_url: str | None,
    as_json: bool,
) -> None:
    """Report the differences between the catalogue and a company.

    One call for each service of the chosen entities.
    """
    import asyncio

    from ..catalogue import choose_entities
    from ..catalogue.catalogue import read_catalogue
    from ..odata.drift import compare, make_overlay, services_of
    from ._output.display import asking
    from ._output.tables import iso_instant, print_json
    from .files import check_target, replace_file

    # The overlay is based on the shipped catalogue, so it replaces an earlier overlay.
    catalogue = read_catalogue()
    names = choose_entities(entities, catalogue)
    if write is not None:
        check_target(write, "--write")
    run = make_run(context, division, region, base_url)
    wanted = services_of(catalogue.entities[name] for name in names)
    with asking(run):
        code, services = asyncio.run(_read(run, division, wanted))
    drift = compare(catalogue, services.found)
    report = describe(drift, services) | {"division": code}
    if write is not None:
        about = {"made_at": iso_instant(run.clock.now()), "division": code}
        overlay = make_overlay(catalogue, drift, about=about)
        replace_file(write, json.dumps(overlay, indent=1, sort_keys=True) + "\n", "--write")
        report["written"] = str(write)
    if as_json:
        print_json(report)
    else:
        _print(report)
    for why in services.refused.values():
        notes.error("error: %s", why, extra={"facts": {"code": why.code}})
    if services.refused and not services.found:
        raise typer.Exit(ExitCode.FAILED)


def make_run(
    context: typer.Context, division: int | None, region: str | None, base_url: str | None
) -> ReadOnlyRun:
    """A run over the configured connection."""
    from ..connect import make_read_only_run
    from ..source import make_options
    from .connect import clock_of, make_connection

    settings, storage = make_connection(region, base_url)
    options = make_options(divisions="all" if division is None else [division])
    return make_read_only_run(options, settings, storage, clock_of(context))


async def _read(
    run: ReadOnlyRun, division: int | None, names: Sequence[str]
) -> tuple[int, Services]:
    from ..client.metadata import read_services

    async with run.connected() as client:
        open_ones = [d.code for d in await run.divisions.chosen() if not d.blocked]
        if not open_ones:
            which = "every company that the app may see" if division is None else str(division)
            raise ConfigurationError(f"divisions: {which} is blocked; see `exact-source divisions`")
        return open_ones[0], await read_services(client, open_ones[0], names)


def describe(drift: Drift, services: Services) -> dict[str, Any]:
    """The report as plain values."""
    return {
        "services": sorted(services.found),
        "refused": {name: str(why) for name, why in services.refused.items()},
        "calls": services.calls,
        "changes": [
            {
                "entity": change.entity,
                "feed": change.kind,
                "path": change.path,
                "endpoint_gone": change.missing,
                "new_columns": dict(change.added),
                "new_columns_of_unknown_type": dict(change.unreadable),
                "new_columns_left_out": dict(change.clashing),
                "gone_columns": list(change.withdrawn),
            }
            for change in drift.changes
        ],
        "new_endpoints": {path: len(found.columns) for path, found in drift.new.items()},
        "grain_unknown": dict(drift.namesakes),
    }


def _print(report: dict[str, Any]) -> None:
    from ._output.tables import Column, make_console, print_table

    console = make_console()
    rows = []
    for change in report["changes"]:
        what = ["the endpoint no longer exists"] if change["endpoint_gone"] else []
        new = {**change["new_columns"], **change["new_columns_of_unknown_type"]}
        what += [f"+ {', '.join(new)}"] if new else []
        what += [f"- {', '.join(change['gone_columns'])}"] if change["gone_columns"] else []
        left_out = change["new_columns_left_out"].items()
        what += [f"{field} is left out: {reason}" for field, reason in left_out]
        rows.append((change["entity"], change["path"], "; ".join(what)))
    for path, columns in report["new_endpoints"].items():
        namesake = report["grain_unknown"].get(path)
        grain = f"; not known whether its rows are those of {namesake}" if namesake else ""
        rows.append((None, path, f"a new endpoint with {columns} columns{grain}"))
    if rows:
        columns = (Column("entity"), Column("path", rank=1), Column("difference", wraps=True))
        print_table(console, columns, rows)
    count = len(report["services"])
    verdict = "differ in the above" if rows else "agree"
    console.print(
        f"{plural(count, 'service')} of division {report['division']} and the catalogue {verdict}; "
        f"{plural(report['calls'], 'call')}"
    )
    if "written" in report:
        console.print(
            f"written to {report['written']}; to use it, set "
            f"SOURCES__EXACT_ONLINE__CATALOGUE_OVERLAY={report['written']}"
        )
