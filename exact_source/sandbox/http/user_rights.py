"""``users/UserHasRights``: whether the user may call an endpoint (KB tips: ``endpoint='Logistics/Items'``).

The reply for an unknown path has not been recorded. The function returns a boolean, so the sandbox returns
``false``.
"""

from __future__ import annotations

from ..data.catalogue import Endpoint
from ..odata.payload import JSON_TYPE, dump
from ..state import State
from .atom import render_value
from .responses import XML_TYPE
from .rows import Rows

NAME = "UserHasRights"
ACTIONS = frozenset({"GET", "POST", "PUT", "DELETE"})


def answer_right(state: State, rows: Rows, *, json: bool) -> tuple[bytes, str]:
    """The body of the reply, and its media type."""
    asked = rows.query().parameters
    right = has_right(state, rows.division, str(asked["endpoint"]), str(asked["action"]))
    as_number = "rights-as-numbers" in state.settings.deviations
    if json:
        return dump({"d": {NAME: int(right) if as_number else right}}), JSON_TYPE
    return render_value(NAME, right, "Edm.Boolean"), XML_TYPE


def has_right(state: State, division: int, path: str, action: str) -> bool:
    """Whether the user may do ``action`` at ``path``, a service and a set (``CRM/Accounts``).

    The right covers all feeds of that name; the service may be in upper or lower case. Paths of single
    feeds, such as ``sync/CRM/Accounts``, are unknown: no source documents them.
    """
    by_path = "rights-by-path" in state.settings.deviations
    feeds = [e for e in state.catalogue if (e.path == path if by_path else _is_named(e, path))]
    if not feeds or action not in ACTIONS:
        return False
    return not any(state.rights.denial(division, feed.path) for feed in feeds)


def _is_named(endpoint: Endpoint, path: str) -> bool:
    service, _, name = path.rpartition("/")
    return name == endpoint.name and service.lower() == endpoint.service.rpartition("/")[2].lower()
