"""Why the sandbox refuses a request, in the words and statuses of Exact (API section 6)."""

from __future__ import annotations

from collections.abc import Mapping

QUERY_SYNTAX = "Bad Request - Error in query syntax."
SELECT_MISSING = "Please add a $select or a $top=1 statement to the query string."
NOT_IN_SCOPE = "Forbidden - User division is not within division scope"
MODULE_MISSING = "Forbidden - This endpoint is not available: the required module is missing."
NO_RIGHTS = "Forbidden - You are not authorized to perform this action."
NOT_FOUND = "Resource not found for the segment."


class RefusedError(Exception):
    """The request ends here with a status other than 200.

    Attributes:
        status: The HTTP status.
        text: What the error body says; empty for an empty body.
        headers: Sent beside it, such as ``Reason``.
    """

    def __init__(
        self, status: int, text: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"{status} {text}")
        self.status = status
        self.text = text
        self.headers = dict(headers or {})


def bad_request(text: str = QUERY_SYNTAX) -> RefusedError:
    """A 400, which counts toward the error limit (API 2.3)."""
    return RefusedError(400, text)
