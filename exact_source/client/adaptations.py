"""Findings of ``verify`` that later syncs use, in a small file.

The file is next to dlt's working folder, like the error file. It contains no values of rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..atomic_file import replace_file
from ..catalogue import Feed
from ..catalogue.feeds import harmless_filter

VERSION = 1


@dataclass(frozen=True)
class Adaptations:
    """Differences of a site from the assumptions.

    Attributes:
        rights_by_path: ``UserHasRights`` expects paths (``crm/Accounts``), not names (``CRM/Accounts``).
        key_filters: Whether ``ID ne guid'0...'`` is accepted. If not, endpoints that have no other filter
            that every row passes are read without a filter.
        page_sizes: Kind of feed -> rows on a full page, for the kinds whose page size differs.
    """

    rights_by_path: bool = False
    key_filters: bool = True
    page_sizes: Mapping[str, int] = field(default_factory=dict)

    def filter_for(self, feed: Feed) -> str | None:
        """A filter that every row passes and the site accepts; ``None`` if there is none."""
        return harmless_filter(feed, by_key=self.key_filters)

    def page_size(self, feed: Feed) -> int:
        """Rows on a full page of a feed."""
        return self.page_sizes.get(feed.kind, feed.page_size)


class AdaptationFile:
    """The adaptations of one pipeline's connection.

    A file that cannot be read, or belongs to another site or version, is ignored.

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
        """Store the findings; without differences, delete the file.

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
    rights_by_path, key_filters = document.get("rights_by_path"), document.get("key_filters")
    sizes = document.get("page_sizes", {})  # not in files of earlier versions
    if not (isinstance(rights_by_path, bool) and isinstance(key_filters, bool)):
        raise TypeError("a flag is not true or false")
    if not all(isinstance(rows, int) and rows > 0 for rows in sizes.values()):
        raise TypeError("a page size is not a number of rows")
    return Adaptations(rights_by_path, key_filters, dict(sizes))
