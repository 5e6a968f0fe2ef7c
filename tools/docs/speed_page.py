"""Writes ``docs/speed.md`` and its picture from the results of ``make bench``.

    python -m tools.docs.speed_page

A test fails if the committed page differs from the output of this script.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.scale import Result, picture, text_of

ROOT = Path(__file__).parents[2]
MEASURED = ROOT / "benchmarks" / "results.json"
SCALED = ROOT / "benchmarks" / "scale.json"
PAGE = ROOT / "docs" / "speed.md"
PICTURE = ROOT / "docs" / "images" / "scale.svg"

HEAD = """\
# How fast is it, and what does it take?

`make bench` measures the figures, and `python -m tools.docs.speed_page` writes this page from them.

## What limits you

Exact does. A company may be asked 60 times a minute, and one call returns 1,000 rows of a sync or bulk feed
or 60 rows of any other. So a company delivers at most 60,000 rows a minute, or 3,600 where pages are small;
[entities](entities.md) says which feed each table has. After 5,000 calls a company has to wait for the next
day. `exact-source plan` counts the calls of your companies before you start.

This machine limits you only with many companies. It loads {rows_per_s:,} rows a second from pages of 1,000
rows, as much as {companies} companies deliver that read such pages without a pause.

## How long will my first load take?

| companies | first load | most of it goes to |
| --: | --: | --- |
{first_loads}

Of ten companies three have 5,000 transaction lines, three 15,000, three 50,000 and one has 500,000, and other
tables in proportion. With a contract that allows 20,000 calls a day over all companies, 500 companies take
{capped}.

## What do I gain by more workers?

Nothing until the processor is the limit: companies are read side by side in one process, and Exact's limits
are the same for all workers. In the table above that is where *processor* stands in the last column. Then
workers on other cores can share the companies; see [many companies](many-companies.md).{idle}

## How the figures were measured

Measured on {machine}. Each line is a process of its own; imports are not counted. `floor`, `ours` and `empty`
took turns; theirs are medians of five. The pages come from a server of their own, which has them in files.
"""
ROUTES = """\
- `floor`: DuckDB reads the same bodies from files into a table (`read_json`, every type given). No
  network, no cursor, no deletes: it is what the machine can do.
- `ours`: this project, as `exact-source sync` loads: from a socket into the table, cursor state and all.
- `dicts`: the same rows as Python dicts through dlt; `rest_api`: by dlt's own source for REST APIs.
- Rows are transaction lines with {columns} columns.
"""
PARTS = {
    "pages of 1,000": "Pages of 1,000 rows (sync, bulk)",
    "pages of 60": "Pages of 60 rows (all other endpoints)",
    "postgres": "Into Postgres",
    "change": "1 % of the rows changed",
    "empty": "Nothing changed: fifty entities",
    "idle": "Nothing changed: many companies",
    "memory": "Memory, from few rows to many",
    "start": "Start",
}
SAID = {
    "change": "Rows are the changed ones, merged into a table a hundred times as large.",
    "empty": "Rows are calls here, answered at once: this is the work around them.",
    "idle": "The second sync of companies that have nothing new. *CPU s* leaves out imports, *in all* is\n"
    "the whole process.",
    "start": "`help` is `exact-source --help`, `import` is `from exact_source import exact_online`,\n"
    "`libraries` are what that cannot do without: dlt, httpx, pyarrow, DuckDB. Medians.",
    "memory": "`Arrow` is the most that rows on their way take at once; the rest of the peak is\n"
    "Python, dlt and DuckDB, whose memory is bounded (1 GB, or your `memory_limit`) and which loads a\n"
    "file with one thread (or your `threads`): two took twice the CPU for it and as long. Into Postgres\n"
    "four files of 8 MB are copied at once, each of which dlt's copy has in memory as Arrow.",
}
ROWS_PER_S_OF_A_COMPANY = 1000
CAPPED = 500  # companies for whom the contract's limit is told
COLUMNS = {
    "route": "route", "destination": "into", "rows": "rows", "wall_s": "seconds", "cpu_s": "CPU s",
    "companies": "companies", "calls": "calls", "cpu_ms_per_call": "CPU ms/call", "total_cpu_s": "in all",
    "rows_per_s": "rows/s", "cpu_us_per_row": "CPU µs/row", "peak_mb": "peak MB", "arrow_mb": "Arrow MB",
}  # fmt: skip
SCALE_HEAD = """\
## Many companies

A model of companies that all read at once from one machine: their calls go through the real limiter, the
number of pages comes from the real planner, and a row ({row:.0f} µs), a call ({call:.1f} ms) and a load
({load:.1f} s) cost what was measured here. An answer of Exact Online is taken to need 0.3 s. The model was
held against the real client and the sandbox in moved time, {held}.

Of ten companies three have 5,000 transaction lines, three 15,000, three 50,000 and one has 500,000. *Update*
is a sync in which every table has news; *one contract* is the cap of 20,000 calls a day for all companies
of an app (`--contract-cap`).
"""


def main() -> None:
    """Write the page and the picture."""
    measured, scaled = (json.loads(path.read_text()) for path in (MEASURED, SCALED))
    PAGE.write_text(page(measured, scaled))
    PICTURE.write_text(drawing(scaled))


def page(measured: dict[str, Any], scaled: dict[str, Any]) -> str:
    """The page with both measurements."""
    found = measured["results"]
    head = HEAD.format(machine=measured["machine"], **_answers(found, scaled))
    parts = [head, ROUTES.format(columns=measured["columns"])]
    for name, title in PARTS.items():
        if mine := [one for one in found if one["part"] == name]:
            parts += [f"## {title}\n", _table(mine), *_ratios(mine)]
            parts += [SAID[name] + "\n"] if name in SAID else []
    return "\n".join([*parts, *_scale(scaled)])


def _answers(found: Sequence[dict[str, Any]], scaled: dict[str, Any]) -> dict[str, Any]:
    """What the first sections say."""
    ours = next(r for r in found if r["part"] == "pages of 1,000" and r["route"] == "ours")
    loads = [r for r in scaled["results"] if r["what"] == "first load"]
    capped = next(
        r for r in scaled["results"] if r["what"].endswith("contract") and r["divisions"] == CAPPED
    )
    return {
        "rows_per_s": ours["rows_per_s"],
        "companies": round(ours["rows_per_s"] / ROWS_PER_S_OF_A_COMPANY),
        "first_loads": "\n".join(
            _line([f"{r['divisions']:,}", text_of(r["took_s"]), r["binds"]]) for r in loads
        ),
        "capped": text_of(capped["took_s"]),
        "idle": _idle([r for r in found if r["part"] == "idle"]),
    }


def _idle(found: Sequence[dict[str, Any]]) -> str:
    if not found:
        return ""
    most = max(found, key=lambda r: r["companies"])
    return (
        f" A sync without news is small work:\n{most['companies']:,} companies with {most['entities']} "
        f"entities take {most['cpu_s']:.0f} s of one core and {most['peak_mb']:,} MB."
    )


def drawing(scaled: dict[str, Any]) -> str:
    """The picture of the time that many companies take."""
    return picture([_result(one) for one in scaled["results"]])


def _result(one: dict[str, Any]) -> Result:
    return Result(**{name: value for name, value in one.items() if name != "binds"})


def _table(found: Sequence[dict[str, Any]]) -> str:
    names = [name for name in COLUMNS if any(name in one for one in found)]
    lines = [
        [COLUMNS[name] for name in names],
        ["---" if n in {"route", "destination"} else "--:" for n in names],
    ]
    lines += [[_text(one.get(name, "")) for name in names] for one in found]
    return "\n".join(_line(cells) for cells in lines) + "\n"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _text(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def _ratios(found: Sequence[dict[str, Any]]) -> list[str]:
    """Ratios between the lines of a part."""
    by = {one["route"]: one for one in found}
    said = []
    if {"floor", "ours"} <= by.keys():
        ratio = by["ours"]["cpu_us_per_row"] / by["floor"]["cpu_us_per_row"]
        said.append(f"A row takes {ratio:.2f} times the CPU of the floor")
    slow = {name: one for name, one in by.items() if name in {"rest_api", "dicts"} and "ours" in by}
    for name, one in slow.items():
        times = by["ours"]["rows_per_s"] / one["rows_per_s"]
        said += [f"{times:.1f} times the rows a second of `{name}`"]
    return [", ".join(said) + ".\n"] if said else []


def _scale(scaled: dict[str, Any]) -> list[str]:
    cost, held = scaled["cost"], scaled["held"]
    against = " and ".join(
        f"with {h['divisions']} of them: {h['real_s']:.0f} s, modelled {h['model_s']:.0f} s"
        for h in held
    )
    head = SCALE_HEAD.format(
        row=cost["row"] * 1e6, call=cost["call"] * 1e3, load=cost["load"], held=against
    )
    lines = [["companies", "what", "calls", "time", "most of it goes to", "share"]]
    lines.append(["--:", "---", "--:", "--:", "---", "--:"])
    lines += map(_cells, scaled["results"])
    return [head, "![Where the time goes](images/scale.svg)\n", "\n".join(map(_line, lines)), ""]


def _cells(one: dict[str, Any]) -> list[str]:
    share = one["spent"][one["binds"]] / sum(one["spent"].values())
    numbers = f"{one['divisions']:,}", one["what"], f"{one['calls']:,}", text_of(one["took_s"])
    return [*numbers, one["binds"], f"{share:.0%}"]


if __name__ == "__main__":
    main()
