"""Derives the adaptations of later syncs from the findings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..client.adaptations import Adaptations
from .asking import right_of
from .checks import Verdict
from .paging import PAGES, full_page
from .verification import Verification


def adaptations_of(found: Verification, before: Adaptations) -> Adaptations:
    """Update the adaptations; assumptions that were not measured keep their earlier value."""
    verdicts: Mapping[str, Verdict] = {f.check.name: f.seen.verdict for f in found.findings}
    after = before
    if verdicts["rights-form"] == "holds":
        after = replace(after, rights_by_path=False)
    elif right_of(found.answers, "rights by path"):
        after = replace(after, rights_by_path=True)
    if (key := verdicts["filter-key"]) != "not measured":
        after = replace(after, key_filters=key == "holds")
    return replace(after, page_sizes=_page_sizes(found, verdicts, before.page_sizes))


def _page_sizes(
    found: Verification, verdicts: Mapping[str, Verdict], before: Mapping[str, int]
) -> dict[str, int]:
    sizes = dict(before)
    for kind in PAGES:
        verdict = verdicts[f"{kind}-page"]
        if verdict != "not measured":
            sizes.pop(kind, None)
        if verdict == "differs" and (rows := full_page(found.answers, kind)):
            sizes[kind] = rows
    return sizes
