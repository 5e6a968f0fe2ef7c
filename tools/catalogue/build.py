"""Writes ``catalogue.json``, which ships with the package, from the full API catalogue.

    python -m tools.catalogue.build PATH/TO/catalog.json

The full catalogue (462 endpoints, 11,975 properties) lists what Exact documented until December 2025.
``additions.json`` holds what is newer, and corrections. This script decides how each endpoint is read: which
endpoints are feeds of one entity, and the table name, key and money columns of that entity. Decisions that do
not follow from the names are in ``decisions.py``.
"""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from exact_source.catalogue.naming import snake
from exact_source.catalogue.types import TYPES, column_type
from tools.catalogue.additions import read_additions, with_additions
from tools.catalogue.decisions import (
    ANY_DIVISION,
    CONFIRMED,
    CORE,
    MANDATORY_FILTER,
    MODULES,
    NAMES,
    NO_STAR,
    NOT_TWINS,
    ONCE,
    OTHER_GRAIN,
    PARAMETER_SOURCES,
    SYNC_TIMESTAMP,
    TOMBSTONES_TOO,
)

Record = dict[str, Any]


def feed_kind(record: Record) -> str:
    """The kind of feed: ``regular``, ``bulk``, ``sync`` or ``function``."""
    path: str = record["id"]
    if path.startswith(("sync/", "bulk/")):
        return path.split("/", 1)[0]
    if record["kind"] in {"function", "report"}:
        return "function"
    return "regular"


def group(records: list[Record]) -> list[list[Record]]:
    """Groups of endpoints with the same rows: last part, key and grain agree. The plain one comes first."""
    groups: dict[str, list[Record]] = {}
    for record in sorted(
        records, key=lambda r: ("regular", "bulk", "sync", "function").index(feed_kind(r))
    ):
        path = record["id"]
        twins = [] if path in OTHER_GRAIN or path in NOT_TWINS else twin_paths(record)
        home = next(
            (t for t in twins if t in groups and record_key(groups[t][0]) == record_key(record)),
            None,
        )
        groups.setdefault(home or path, []).append(record)
    return list(groups.values())


def twin_paths(record: Record) -> list[str]:
    """Paths of the twins in the full catalogue whose last part is the same."""
    last = record["id"].rsplit("/", 1)[-1]
    twins = [v["uri"] for side in ("base", "bulk") for v in record["variants"][side]]
    paths = [uri.removeprefix("/api/v1/").removeprefix("{division}/") for uri in twins]
    if feed_kind(record) == "regular":
        return []
    return [p for p in paths if p.rsplit("/", 1)[-1] == last]


def record_key(record: Record) -> list[str]:
    """Fields that identify a row within its division."""
    if feed_kind(record) == "sync":
        return [record["record_id"]] if record["record_id"] else ["Timestamp"]
    return [k["name"] for k in record["keys"]] or (
        [record["record_id"]] if record["record_id"] else []
    )


def endpoint(record: Record) -> Record:
    """One feed of ``catalogue.json``; a member that is absent has its default."""
    path, kind = record["id"], feed_kind(record)
    names = {p["name"] for p in record["properties"]}
    modified = "Modified" in names and {
        "regular": True,
        "bulk": record["modified_filter_allowed"] is not False,
    }.get(kind, False)
    out: Record = {
        "path": path,
        "page": record["page_size"] or (1000 if kind in {"sync", "bulk"} else 60),
    }
    if kind == "sync":
        out["cursor"] = "Timestamp"
    elif modified:
        out["cursor"] = "Modified"
    optional = {
        "filter": record["filter_allowed"],
        "mandatory_filter": MANDATORY_FILTER.get(path),
        "mandatory_select": record["select_mandatory"] or (kind == "bulk"),
        "no_star": kind == "sync" and path.removeprefix("sync/") in NO_STAR,
        **parameters(record),
        "start_date": kind == "sync" and path.rsplit("/", 1)[-1] in SYNC_TIMESTAMP,
        "beta": record["beta"],
        "no_division": not record["division_scoped"],
    }
    return out | {name: value for name, value in optional.items() if value}


def parameters(record: Record) -> Record:
    """How a function is called, and where that is known from; empty for other endpoints."""
    if feed_kind(record) != "function":
        return {}
    fixed = record.get("fixed_parameters", {})
    optional = record.get("optional_parameters", {})
    return {
        "parameters": {
            p["name"]: [TYPES[p["edm_type"]], p["required"]] for p in record["query_parameters"]
        },
        "fixed": {name: [TYPES[edm], value] for name, (edm, value) in fixed.items()},
        "optional": {name: TYPES[edm] for name, edm in optional.items()},
        "empty": record.get("empty_refusal"),
        "unknown_parameters": record["query_parameters_status"] == "unknown",
        "evidence": evidence(record),
    }


def evidence(record: Record) -> list[str]:
    """Where the parameters of a function are known from: names in ``EVIDENCE``."""
    if "evidence" in record:
        return [record["evidence"]]
    found = [p["source"] for p in record["query_parameters"]] or [record["query_parameters_status"]]
    source = "report" if record["kind"] == "report" else found[0]
    confirmed = CONFIRMED.get(record["id"])
    return [PARAMETER_SOURCES[source], *([confirmed] if confirmed else [])]


def entity(records: list[Record]) -> Record:
    """One entity. ``columns`` is the union of its feeds' fields; ``without`` lists what a feed lacks."""
    base = records[0]
    columns: dict[str, str] = {}
    for record in records:
        for prop in record["properties"]:
            type_code = column_type(prop["name"], prop["edm_type"])
            if (
                type_code
                and columns.setdefault(prop["name"], type_code) == "f"
                and type_code == "m"
            ):
                columns[prop["name"]] = "m"
    feeds = {}
    for record in records:
        has = {p["name"] for p in record["properties"]}
        feed = endpoint(record)
        without = [name for name in columns if name not in has]
        feeds[feed_kind(record)] = feed | ({"without": without} if without else {})
    code = next((r["deleted_entity_type"] for r in records if r.get("deleted_entity_type")), None)
    out: Record = {
        "service": base["id"].split("/")[1]
        if base["id"].startswith(("sync/", "bulk/", "read/"))
        else base["id"].split("/")[0],
        "key": record_key(base),
        "feeds": feeds,
        "columns": columns,
    }
    optional = {
        "deleted_code": code or TOMBSTONES_TOO.get(base["id"]),
        "grain": OTHER_GRAIN.get(base["id"]),
        "scope": base["scope"] if base["scope"] not in {None, "-"} else None,
        "module": module_of(records),
        "division_from": ONCE.get(base["id"]),
        "any_division": base["id"] in ANY_DIVISION,
        "navigation": navigation(records),
        "deprecated": base["deprecation"] if base["deprecated"] else None,
    }
    return out | {name: value for name, value in optional.items() if value}


def module_of(records: list[Record]) -> str | None:
    """The packages of Exact Online that have such rows; ``None`` where nothing is known."""
    found = (m for start, m in MODULES.items() for r in records if r["id"].startswith(start))
    return next(found, None)


def navigation(records: list[Record]) -> list[str]:
    """Navigation fields: links to other rows (``__deferred``), or the rows themselves if expanded."""
    names = (p["name"] for r in records for p in r["properties"] if p["kind"] != "scalar")
    return list(dict.fromkeys(names))


def name_of(records: list[Record], taken: Counter[str]) -> str:
    """Table name: the last part of the path, after the service if two entities share that part."""
    base = records[0]["id"]
    if base in NAMES:
        return NAMES[base]
    parts = [p for p in base.split("/") if p not in {"sync", "bulk", "read", "beta"}]
    plain = snake(parts[-1])
    return plain if taken[plain] == 1 else f"{snake(parts[0])}_{plain}"


def reason_not_read(record: Record) -> str | None:
    """Why an endpoint is not a resource; ``None`` if it is one."""
    if record.get("not_read"):
        return str(record["not_read"])
    if not record["readable"]:
        return "cannot be read (no GET)"
    if record["status"] == "undocumented_live_metadata":
        return "not documented by Exact; seen in live $metadata only"
    if record["status"] != "current":
        return f"no longer documented ({record.get('replaced_by') or 'no replacement named'})"
    return None


def build(records: list[Record]) -> Record:
    """The contents of ``catalogue.json``, from the records of the full catalogue.

    Raises:
        SystemExit: If two entities get the same name, or an addition is out of date.
    """
    records = with_additions(records, read_additions())
    readable = [r for r in records if reason_not_read(r) is None]
    groups = group(readable)
    taken = Counter(snake(g[0]["id"].rsplit("/", 1)[-1]) for g in groups if g[0]["id"] not in NAMES)
    taken.update(dict.fromkeys(NAMES.values(), 1))
    entities = {name_of(g, taken): entity(g) for g in groups}
    if len(entities) != len(groups):
        clash = defaultdict(list)
        for g in groups:
            clash[name_of(g, taken)].append(g[0]["id"])
        raise SystemExit(f"two entities share a name: {[v for v in clash.values() if len(v) > 1]}")
    unread = {r["id"]: reason for r in records if (reason := reason_not_read(r)) is not None}
    return {
        "core": CORE,
        "entities": dict(sorted(entities.items())),
        "unread": dict(sorted(unread.items())),
    }


def main() -> None:
    """Read the full catalogue that the command line names, and write ``catalogue.json``."""
    catalogue = build(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    target = Path(__file__).parents[2] / "exact_source" / "catalogue" / "catalogue.json"
    lines = ",\n".join(
        f" {json.dumps(name)}: {json.dumps(entity_, separators=(',', ':'))}"
        for name, entity_ in catalogue["entities"].items()
    )
    core, unread = json.dumps(catalogue["core"]), json.dumps(catalogue["unread"])
    target.write_text(
        f'{{"core": {core},\n"unread": {unread},\n"entities": {{\n{lines}\n}}}}\n',
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
