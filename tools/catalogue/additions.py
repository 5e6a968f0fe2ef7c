"""Merges ``additions.json`` into the full catalogue: newer endpoints and fields, and corrections.

Every entry of the file names its source. The file has three lists:

``endpoints``: whole endpoints. ``kind`` is ``entity``, ``bulk`` or ``sync``; ``key`` is the key of a row;
``properties`` maps a field to its Edm type, or to ``Collection(...)`` for a link to other rows. An endpoint
without rows to load has ``not_read``, the reason, instead.

``properties``: fields to ``add`` to an endpoint of the full catalogue.

``functions``: how a function is really called. ``fixed`` parameters are always sent, with one value;
``optional`` ones are never sent; ``empty`` is the text of the 400 that means "no rows"; ``evidence`` is a
name in ``decisions.EVIDENCE``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

Record = dict[str, Any]
ADDITIONS = Path(__file__).with_name("additions.json")


def read_additions() -> Mapping[str, Any]:
    """The file in the repository."""
    found: Mapping[str, Any] = json.loads(ADDITIONS.read_text(encoding="utf-8"))
    return found


def with_additions(records: Iterable[Record], additions: Mapping[str, Any]) -> list[Record]:
    """The records of the full catalogue with the additions merged in.

    Raises:
        SystemExit: If an addition is no longer one, or belongs to an endpoint that does not exist.
    """
    merged = {record["id"]: record for record in records}
    for new in additions["endpoints"]:
        _expect(new["id"] not in merged, f"{new['id']} is in the full catalogue already")
        merged[new["id"]] = _record(new)
    for change in additions["properties"]:
        merged[change["endpoint"]] = _with_properties(merged[change["endpoint"]], change["add"])
    for function in additions["functions"]:
        path = function["endpoint"]
        merged[path] = _with_call(merged[path], function)
    return list(merged.values())


def _expect(condition: bool, otherwise: str) -> None:
    if not condition:
        raise SystemExit(f"additions.json: {otherwise}")


def _record(new: Mapping[str, Any]) -> Record:
    """A whole record of the full catalogue, as far as the build reads it."""
    kind, fields = new.get("kind", "action"), new.get("properties", {})
    is_sync = kind == "sync"
    keys = ["Timestamp"] if is_sync else new.get("key", [])
    return {
        "id": new["id"],
        "kind": kind,
        "status": "current",
        "readable": "not_read" not in new,
        "not_read": new.get("not_read"),
        "beta": False,
        "division_scoped": True,
        "scope": new.get("scope"),
        "keys": [{"name": name, "edm_type": fields[name]} for name in keys],
        "record_id": new["key"][0] if is_sync else None,
        "variants": {"base": [], "bulk": [], "sync": []},
        "query_parameters": [],
        "query_parameters_status": "none",
        "modified_filter_allowed": None,
        "filter_allowed": ["Timestamp"] if is_sync else None,
        "select_mandatory": False,
        "page_size": None,
        "deprecated": False,
        "deprecation": None,
        "properties": [_property(name, kind_) for name, kind_ in fields.items()],
    }


def _property(name: str, edm_type: str) -> Record:
    is_link = edm_type.startswith("Collection(")
    return {"name": name, "edm_type": edm_type, "kind": "collection" if is_link else "scalar"}


def _with_properties(record: Record, add: Mapping[str, str]) -> Record:
    known = {p["name"] for p in record["properties"]}
    again = sorted(known & add.keys())
    _expect(not again, f"{record['id']} has {', '.join(again)} already")
    new = [_property(name, edm_type) for name, edm_type in add.items()]
    return {**record, "properties": [*record["properties"], *new]}


def _with_call(record: Record, function: Mapping[str, Any]) -> Record:
    types = {p["name"]: p["edm_type"] for p in record["properties"]}
    keys = [{"name": name, "edm_type": types[name]} for name in function["key"]]
    return {
        **record,
        "keys": keys,
        "query_parameters": [],
        "query_parameters_status": "required",
        "fixed_parameters": function["fixed"],
        "optional_parameters": function["optional"],
        "empty_refusal": function["empty"],
        "evidence": function["evidence"],
    }
