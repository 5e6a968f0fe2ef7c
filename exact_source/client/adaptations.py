"""Findings of ``verify`` that later syncs use, in a small file.

The file is beside dlt's working folder, like that of the errors. It holds forms and option names, no value of
a row.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ..atomic_file import replace_file

VERSION = 1
Order = Literal["Timestamp", "other"]


@dataclass(frozen=True)
class Adaptations:
    """Differences of a site from the assumptions.

    Attributes:
        rights_by_path: ``UserHasRights`` understands paths (``crm/Accounts``), not names (``CRM/Accounts``).
        key_filters: Whether ``ID ne guid'0...'`` is accepted; without it, endpoints whose only harmless
            filter it is are read without a filter.
        filter_demanded: Whether endpoints with a sync feed require a filter; ``None`` if unknown.
        sync_order: Order of the rows of sync feeds; ``None`` if unknown. No sync relies on one.
    """

    rights_by_path: bool = False
    key_filters: bool = True
    filter_demanded: bool | None = None
    sync_order: Order | None = None


class AdaptationFile:
    """The adaptations of one pipeline's connection.

    A file that cannot be read, or belongs to another site or version, counts as no file.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self, site: str) -> Adaptations:
        """The findings about a site."""
        with suppress(OSError, ValueError, TypeError, AttributeError):
            return parse_adaptations(json.loads(self._path.read_text("utf-8")), site)
        return Adaptations()

    def save(self, found: Adaptations, site: str) -> None:
        """Store the findings; without differences there is no file.

        Raises:
            OSError: If that fails.
        """
        if found == Adaptations():
            self._path.unlink(missing_ok=True)
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        document = {"version": VERSION, "site": site, **asdict(found)}
        replace_file(self._path, json.dumps(document, indent=2) + "\n")


def parse_adaptations(document: Mapping[str, Any], site: str) -> Adaptations:
    """The adaptations of a document; none if it is of another version or site.

    Raises:
        TypeError: If a value has another type.
    """
    if (document.get("version"), document.get("site")) != (VERSION, site):
        return Adaptations()
    found = Adaptations()
    for name, kind in (("rights_by_path", bool), ("key_filters", bool)):
        if not isinstance(document.get(name), kind):
            raise TypeError(name)
        found = replace(found, **{name: document[name]})
    demanded, order = document.get("filter_demanded"), document.get("sync_order")
    return replace(
        found,
        filter_demanded=demanded if isinstance(demanded, bool) else None,
        sync_order=order if order in {"Timestamp", "other"} else None,
    )
