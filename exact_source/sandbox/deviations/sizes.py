"""Pages with a different size."""

from __future__ import annotations

from collections.abc import Collection

from ..data.catalogue import Endpoint

SMALL_PAGES = {
    "regular": ("small-pages", 50),
    "bulk": ("small-bulk-pages", 500),
    "sync": ("small-sync-pages", 500),
    "function": ("paged-reads", 5),
}


def page_size(active: Collection[str], endpoint: Endpoint, size: int) -> int:
    """Rows on a page, according to the active deviations."""
    name, small = SMALL_PAGES.get(endpoint.kind, ("", size))
    return min(size, small) if name in active else size
