"""Derives the adaptations of later syncs from the findings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..client.adaptations import Adaptations
from .asking import right_of
from .checks import Verdict
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
    if (needless := verdicts["filter-needless"]) != "not measured":
        after = replace(after, filter_demanded=needless == "differs")
    if (order := verdicts["sync-order"]) != "not measured":
        after = replace(after, sync_order="Timestamp" if order == "holds" else "other")
    return after
