"""Checks of ``$metadata`` against the catalogue."""

from __future__ import annotations

from ..catalogue import load_catalogue
from ..errors import ContractError
from ..odata.csdl import EntitySet, parse_csdl
from ..odata.drift import Drift, compare, service_of
from .answers import OK, Answers
from .checks import Check, Seen, UnmeasuredError, differs, holds, holds_if

MOST_NAMED = 12
START = "metadata "
Services = dict[str, dict[str, EntitySet]]


def _services(answers: Answers) -> Services:
    """The parsed ``$metadata`` of each service that answered; parsed once."""
    found = answers.derive("services", lambda: _parsed(answers))
    if not found:
        raise UnmeasuredError("no $metadata of a service was answered")
    return found


def _parsed(answers: Answers) -> Services:
    found: Services = {}
    for name, answer in answers.got.items():
        if name.startswith(START) and answer.status == OK and answer.path:
            try:
                found[answer.path] = parse_csdl(answer.body, answer.path)
            except ContractError:
                continue
    return found


def _drift(answers: Answers) -> tuple[Drift, int]:
    services = _services(answers)
    drift = answers.derive("drift", lambda: compare(load_catalogue(), services))
    return drift, len(services)


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:MOST_NAMED])
    return shown if len(names) <= MOST_NAMED else f"{shown} and {len(names) - MOST_NAMED} more"


def documents(answers: Answers) -> Seen:
    """Check which URLs serve ``$metadata``."""
    first = next((n for n in answers.got if n.startswith(START) and n != "metadata all"), None)
    if first is None:
        raise UnmeasuredError("$metadata was not asked for")
    if answers.got[first].status == OK:
        return holds("each service has a document of its own")
    if answers.has("metadata all"):
        return differs("there is one document for all services")
    return differs(f"it is refused with {answers.got[first].status}")


def endpoints(answers: Answers) -> Seen:
    """Check whether the endpoints exist."""
    drift, services = _drift(answers)
    missing = [change.path for change in drift.changes if change.missing]
    return holds_if(
        not missing,
        f"all endpoints of {services} services are there",
        f"not there: {_listed(missing)}",
    )


def withdrawn(answers: Answers) -> Seen:
    """Check whether the fields exist."""
    drift, services = _drift(answers)
    missing = [f"{c.path} {field}" for c in drift.changes for field in c.withdrawn if not c.missing]
    return holds_if(
        not missing,
        f"all fields of {services} services are there",
        f"not there: {_listed(missing)}",
    )


def new_fields(answers: Answers) -> Seen:
    """Check whether there are fields that are missing from the catalogue."""
    drift, services = _drift(answers)
    new = [
        f"{c.path} {field}"
        for c in drift.changes
        for field in (*c.added, *c.unreadable, *c.clashing)
    ]
    return holds_if(not new, f"none in {services} services", _listed(new))


def types(answers: Answers) -> Seen:
    """Check whether fields have the catalogue's types."""
    services = _services(answers)
    feeds = [(e, f) for e in load_catalogue().entities.values() for f in e.feeds.values()]
    wrong = []
    for entity, feed in feeds:
        found = services.get(service_of(feed.path), {}).get(feed.path.rpartition("/")[2])
        for field in feed.columns if found is not None else ():
            type_code = found.columns.get(field) if found is not None else None
            if type_code is not None and not _fits(type_code, entity.columns[field].type_code):
                wrong.append(f"{feed.path} {field}")
    return holds_if(
        not wrong,
        f"the types in {len(services)} services are as expected",
        f"another type: {_listed(wrong)}",
    )


def _fits(found: str, expected: str) -> bool:
    """Whether a type matches; amounts are recognised by the field's name."""
    return found == expected or {found, expected} == {"m", "f"}


CHECKS = (
    Check("metadata", "Each service has $metadata of its own", "3.1, 12.17", ("metadata",),
          "nothing", documents),
    Check("endpoints", "The endpoints of the core set exist", "12.11", ("metadata",), "adapts",
          endpoints),
    Check("fields", "The fields that are asked for exist", "3.3", ("metadata",), "adapts",
          withdrawn),
    Check("new-fields", "There are no fields that the catalogue lacks", "3.3, 12.12",
          ("metadata",), "nothing", new_fields),
    Check("types", "Fields have the types of the catalogue", "3.4", ("metadata",), "report", types),
)  # fmt: skip
