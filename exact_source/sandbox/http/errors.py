"""Refusals of the sandbox, with Exact's texts and statuses (API section 6)."""

from __future__ import annotations

from collections.abc import Mapping

QUERY_SYNTAX = "Bad Request - Error in query syntax."
SELECT_MISSING = "Please add a $select or a $top=1 statement to the query string."
NOT_IN_SCOPE = "Forbidden - User division is not within division scope"
MODULE_MISSING = "Forbidden - This endpoint is not available: the required module is missing."
NO_RIGHTS = "Forbidden - You are not authorized to perform this action."
NOT_FOUND = "Resource not found for the segment."
TOO_LARGE = "The response is larger than the maximum that is allowed."
MANDATORY_FILTER = "This endpoint has mandatory filtering applied."
NO_SUCH_FILTER = "Filtering on these fields is not supported"
UNSUPPORTED = "Unsupported media type requested."
DIVISION_BLOCKED = "Forbidden - DivisionBlocked"
ITEM_OR_MODIFIED = "Invalid: ItemID or Modified."  # API 12.10
EXISTS = "Data already exists."
NO_SUCH_PROPERTY = "No property '{}' exists in type '{}' at position {}."  # API 12.9
NO_SUCH_SELECTION = "Type '{}' does not have a property named '{}'."  # API 12.9

# Texts are in the user's language (API 6.1); these translations are ours.
DUTCH = {
    QUERY_SYNTAX: "Ongeldige aanvraag - Fout in de querysyntaxis.",
    SELECT_MISSING: "Voeg een $select of een $top=1 toe aan de query.",
    NOT_IN_SCOPE: "Geen toegang - De administratie valt buiten het bereik van de gebruiker",
    MODULE_MISSING: "Geen toegang - Deze bron is niet beschikbaar: de vereiste module ontbreekt.",
    NO_RIGHTS: "Geen toegang - U bent niet gemachtigd om deze actie uit te voeren.",
    NOT_FOUND: "De bron van dit segment is niet gevonden.",
    TOO_LARGE: "Het antwoord is groter dan toegestaan.",
    MANDATORY_FILTER: "Voor deze bron is filteren verplicht.",
    NO_SUCH_FILTER: "Filteren op deze velden wordt niet ondersteund",
    EXISTS: "Gegeven bestaat reeds.",  # Exact's own text (picqer#150)
    DIVISION_BLOCKED: "Geen toegang - De administratie is geblokkeerd",
}


class RefusedError(Exception):
    """The request ends with a status other than 200.

    Attributes:
        status: The HTTP status.
        text: Message in the error body; empty for an empty body.
        headers: Further headers, such as ``Reason``.
    """

    def __init__(
        self, status: int, text: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"{status} {text}")
        self.status = status
        self.text = text
        self.headers = dict(headers or {})


def in_dutch(text: str) -> str:
    """The text in Dutch; the rest after a known beginning stays unchanged."""
    known = next((start for start in DUTCH if text.startswith(start)), None)
    return text if known is None else DUTCH[known] + text.removeprefix(known)


def bad_request(text: str = QUERY_SYNTAX) -> RefusedError:
    """A 400, which counts toward the error limit (API 2.3)."""
    return RefusedError(400, text)
