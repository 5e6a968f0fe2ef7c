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
COMPARED = ROOT / "benchmarks" / "side_by_side.json"
PAGE = ROOT / "docs" / "speed.md"
PICTURE = ROOT / "docs" / "images" / "scale.svg"

HEAD = """\
# Speed and resources

`make bench` measures the figures, and `python -m tools.docs.speed_page` writes this page from them.

## What limits you

The limit is Exact Online. It allows 60 calls a minute for each company. One call returns 1,000 rows of a
sync or bulk feed, or 60 rows of any other feed, so a company delivers at most 60,000 or 3,600 rows a
minute; [entities](entities.md) lists the feed of each table. After 5,000 calls a company must wait for
the next day. `exact-source plan` counts the calls of your companies before you start.

Your machine becomes the limit only with many companies. The one measured here loads {rows_per_s:,} rows a
second from pages of 1,000 rows, which is what {companies} companies deliver at their limit.

## How long will my first load take?

| companies | first load | most of it goes to |
| --: | --: | --- |
{first_loads}

In every ten companies, three have 5,000 transaction lines, three 15,000, three 50,000 and one 500,000;
the other tables are in proportion. With a contract that allows 20,000 calls a day over all companies, 500
companies take {capped}. In the last column, *one call at a time* is the time in which a company waits for
replies, and *minute* is the limit of 60 calls a minute.

## Do more workers help?

Only if the processor is the limit (*processor* in the table above). One process already reads all
companies in parallel, and all workers share Exact's limits. If the processor is the limit, workers on
other cores can share the companies; see [many companies](many-companies.md).{idle}

## How the figures were measured

Measured on {machine}. Each line is a separate process; imports are not counted. `floor`, `ours` and
`empty` ran in turns, and their figures are medians of five runs. A separate process serves the pages from
files.
"""
ROUTES = """\
- `floor`: DuckDB reads the same replies from files into a table (`read_json` with all types given), without
  network, cursor or deletes. This is the most that the machine can do.
- `ours`: this project as `exact-source sync` runs it, from the socket to the table, with cursors and state.
- `dicts`: dlt loads the same rows as Python dictionaries. `rest_api`: dlt's own REST API source.
- Rows are transaction lines with {columns} columns.
"""
SIDE_BY_SIDE = """\
## Beside other tools

The first load of the same rows from the same server by each tool's own command, in an environment of its
own. Times include the start; the figures are medians of {turns} runs in turns. *peak MB* is the largest
process of a command. *missing* counts rows of the server that did not arrive.

- `rest_api`: dlt's own REST API source. `meltano`: `tap-rest-api-msdk` and `target-duckdb`, run by Meltano.
- `airbyte`: a manifest for Airbyte's own CDK. It has no destination here, so its messages go to a file.
- `sling`: an API spec. Sling downloads the programs that write databases, so it writes a CSV file.
- None of them reads changes, deletions or call limits here; `ours` does.
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
    "change": "*rows* counts the changed rows. They are merged into a table a hundred times as large.",
    "empty": "Here *rows* counts calls. The server replies at once, so this is the cost of the calls\n"
    "themselves.",
    "idle": "The second sync of companies without changes, in an environment with this package and what it\n"
    "requires. *CPU s* excludes imports; *in all* is the whole process.",
    "start": "`help` is `exact-source --help`, `import` is `from exact_source import exact_online`, and\n"
    "`libraries` imports only what it depends on: dlt, httpx, pyarrow and DuckDB. All are medians.",
    "memory": "*Arrow MB* is the peak memory of the rows in transit. The rest of the peak is Python, dlt\n"
    "and DuckDB. DuckDB's memory is limited to 1 GB (or your `memory_limit`). It loads a file with one\n"
    "thread (or your `threads`), because two threads took twice the CPU and the same time. For Postgres,\n"
    "dlt copies four files of 8 MB at once and holds each of them in memory as Arrow.",
}
ROWS_PER_S_OF_A_COMPANY = 1000
CAPPED = 500  # companies for which the page states the effect of the contract's limit
COLUMNS = {
    "route": "route", "destination": "into", "rows": "rows", "wall_s": "seconds", "cpu_s": "CPU s",
    "companies": "companies", "calls": "calls", "cpu_ms_per_call": "CPU ms/call", "total_cpu_s": "in all",
    "rows_per_s": "rows/s", "missing": "missing",
    "cpu_us_per_row": "CPU µs/row", "peak_mb": "peak MB", "arrow_mb": "Arrow MB",
}  # fmt: skip
SCALE_HEAD = """\
## Many companies

These figures come from a model of companies that are all read in parallel on one machine. The calls go
through the real limiter, and the real planner gives the number of pages. A row ({row:.0f} µs), a call
({call:.1f} ms) and a load ({load:.1f} s) cost what was measured here. The model assumes that Exact Online
replies in 0.3 s. It was compared with the real client, the sandbox and a simulated clock: {held}.

In every ten companies, three have 5,000 transaction lines, three 15,000, three 50,000 and one 500,000.
*Update* is a sync in which every table has new rows. *One contract* is a cap of 20,000 calls a day for
all companies of an app (`--contract-cap`).
"""


def main() -> None:
    """Write the page and the picture."""
    measured, scaled = (json.loads(path.read_text()) for path in (MEASURED, SCALED))
    compared = json.loads(COMPARED.read_text()) if COMPARED.exists() else None
    PAGE.write_text(page(measured, scaled, compared))
    PICTURE.write_text(drawing(scaled))


def page(
    measured: dict[str, Any], scaled: dict[str, Any], compared: dict[str, Any] | None = None
) -> str:
    """The page with all measurements; ``compared`` may be missing."""
    found = measured["results"]
    head = HEAD.format(machine=measured["machine"], **_answers(found, scaled))
    parts = [head, ROUTES.format(columns=measured["columns"]), *_side_by_side(compared)]
    for name, title in PARTS.items():
        if mine := [one for one in found if one["part"] == name]:
            parts += [f"## {title}\n", _table(mine), *_ratios(mine)]
            parts += [SAID[name] + "\n"] if name in SAID else []
    return "\n".join([*parts, *_scale(scaled)])


def _side_by_side(compared: dict[str, Any] | None) -> list[str]:
    """The table of other tools."""
    if compared is None:
        return []
    cannot = (
        f"- `{name}`: not measured, because {why}." for name, why in compared["cannot"].items()
    )
    said = SIDE_BY_SIDE.format(turns=compared["turns"])
    return [said, _table(compared["results"]), *cannot, ""]


def _answers(found: Sequence[dict[str, Any]], scaled: dict[str, Any]) -> dict[str, Any]:
    """The values in the first sections."""
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
        f" A sync without changes is cheap:\n{most['companies']:,} companies with {most['entities']} "
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
        said.append(f"Per row, `ours` takes {ratio:.2f} times the CPU of `floor`.")
    slow = {name: one for name, one in by.items() if name in {"rest_api", "dicts"} and "ours" in by}
    times = {name: by["ours"]["rows_per_s"] / one["rows_per_s"] for name, one in slow.items()}
    if times:
        ratios = (f"{factor:.1f} times the rows of `{name}`" for name, factor in times.items())
        said.append(f"Per second, `ours` loads {' and '.join(ratios)}.")
    return [" ".join(said) + "\n"] if said else []


def _scale(scaled: dict[str, Any]) -> list[str]:
    cost, held = scaled["cost"], scaled["held"]
    against = " and ".join(
        f"{h['divisions']} {'company' if h['divisions'] == 1 else 'companies'} took {h['real_s']:.0f} s"
        f" ({h['model_s']:.0f} s in the model)"
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
