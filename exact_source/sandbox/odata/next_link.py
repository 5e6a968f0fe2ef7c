"""``__next``: the URL of the next page, in the form of WCF Data Services (API 12.5)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

# WCF copies these, in this order; `$skip` is no longer needed, and unknown options are dropped.
# WCF does not copy `$format`, but Exact has never sent a second page in another format.
COPIED = ("$filter", "$expand", "$orderby", "$inlinecount", "$select", "$format")
QUOTED = re.compile(r"('(?:[^']|'')*')")


def next_query(
    options: Mapping[str, str], parameters: Iterable[str], top: int | None, skiptoken: str
) -> str:
    """The query of the next page.

    Args:
        options: Decoded options of this page.
        parameters: Names of the function's parameters.
        top: Number of rows still to be served; ``None`` without ``$top``.
        skiptoken: Start of the next page.
    """
    kept = {name: options[name] for name in (*parameters, *COPIED) if options.get(name)}
    if top is not None:
        kept["$top"] = str(top)
    return "&".join(
        f"{name}={escaped(text)}" for name, text in (kept | {"$skiptoken": skiptoken}).items()
    )


def escaped(text: str) -> str:
    """Escape a value: everything between quotes, and outside quotes only characters that URLs forbid."""
    return "".join(
        f"'{quote(part[1:-1], safe='')}'"
        if part.startswith("'")
        else quote(part, safe="$,()/:=*;@")
        for part in QUOTED.split(text)
    )
