"""The findings as plain values and as Markdown that can be published."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from .._version import __version__
from ..settings import REGIONS
from .checks import Finding
from .verification import Verification

VERSION = 1
EFFECTS = {
    "": "",
    "nothing": "makes no difference to this program",
    "adapts": "this program adapts to it",
    "report": "**please report it**",
}


def document(found: Verification) -> dict[str, Any]:
    """The findings as a JSON document without any value, name, code or amount from a row."""
    return {
        "version": VERSION,
        "program": __version__,
        "site": _site(found),
        "calls": found.calls,
        "refusals": found.refusals,
        "stopped": found.stopped,
        "checks": [_plain(finding) for finding in found.findings],
        "exit_code": found.exit_code,
    }


def _plain(finding: Finding) -> dict[str, Any]:
    check = finding.check
    return {
        "name": check.name,
        "assumption": check.assumption,
        "section": check.section,
        "questions": list(check.questions),
        "verdict": finding.seen.verdict,
        "seen": finding.seen.text,
        "effect": finding.effect,
    }


def markdown(found: Verification) -> str:
    """A report that can be pasted into an issue."""
    return "\n".join([*_head(found), *_tables(found), ""])


def _head(found: Verification) -> Iterator[str]:
    numbers = Counter(finding.seen.verdict for finding in found.findings)
    yield "# What `exact-source verify` found"
    yield ""
    yield (
        f"exact-source {__version__}, site {_site(found)}, {found.calls} calls, "
        f"{found.refusals} refusals: {numbers['holds']} assumptions hold, {numbers['differs']} "
        f"differ, {numbers['not measured']} could not be measured."
    )
    if found.stopped:
        yield ""
        yield f"It stopped early: {found.stopped}."


def _tables(found: Verification) -> Iterator[str]:
    for verdict, title in (
        ("differs", "Differs"),
        ("not measured", "Not measured"),
        ("holds", "Holds"),
    ):
        mine = [f for f in found.findings if f.seen.verdict == verdict]
        if not mine:
            continue
        yield ""
        yield f"## {title}"
        yield ""
        yield "| check | assumption | API notes | seen | effect |"
        yield "|---|---|---|---|---|"
        for f in mine:
            cells = (f.check.name, f.check.assumption, f.check.section, f.seen.text)
            yield f"| {' | '.join(map(_cell, cells))} | {EFFECTS[f.effect]} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _site(found: Verification) -> str:
    """The country of the site; any other URL is not disclosed."""
    names = {url: name for name, url in REGIONS.items()}
    return names.get(found.answers.site, "other")
