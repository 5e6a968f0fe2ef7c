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

Made by `python -m tools.docs.speed_page` from what `make bench` measured. On the real Exact Online the
limits of the API rule: a company's 60 calls a minute bring at most a thousand rows each. The figures
below are what the work takes on *this* side of the wire.

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
    "memory": "Memory, from few rows to many",
    "start": "Start",
}
SAID = {
    "change": "Rows are the changed ones, merged into a table a hundred times as large.",
    "empty": "Rows are calls here, answered at once: this is the work around them.",
    "start": "`help` is `exact-source --help`, `import` is `from exact_source import exact_online`,\n"
    "`libraries` are what that cannot do without: dlt, httpx, pyarrow, DuckDB. Medians.",
    "memory": "`Arrow` is the most that rows on their way take at once; the rest of the peak is\n"
    "Python, dlt and DuckDB, whose memory is bounded (1 GB, or your `memory_limit`) and which loads a\n"
    "file with one thread (or your `threads`): two took twice the CPU for it and as long. Into Postgres\n"
    "four files of 8 MB are copied at once, each of which dlt's copy has in memory as Arrow.",
}
COLUMNS = {
    "route": "route", "destination": "into", "rows": "rows", "wall_s": "seconds", "cpu_s": "CPU s",
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
    parts = [HEAD.format(machine=measured["machine"]), ROUTES.format(columns=measured["columns"])]
    for name, title in PARTS.items():
        if mine := [one for one in found if one["part"] == name]:
            parts += [f"## {title}\n", _table(mine), *_ratios(mine)]
            parts += [SAID[name] + "\n"] if name in SAID else []
    return "\n".join([*parts, *_scale(scaled)])


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
