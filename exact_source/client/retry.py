"""Recognises replies that are not pages, and decides when to retry. No I/O."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

# During releases at night, 503 lasts for minutes (API 6.4); other errors pass immediately or not at all.
WAITS_S = (2, 5, 15, 60, 300)
PATIENT_WAITS_S = (30, 60, 300, 600, 900)
ATTEMPTS = len(WAITS_S) + 1
FEW_ATTEMPTS = 4  # within half a minute, where somebody waits for the answer
EXISTS = "already exists"
# Texts of the 500 with which Exact refuses a second subscription, in the user's language (API 6.1, 7). After
# a text in another language, it is unknown whether the subscription was created.
EXISTS_TEXTS = (EXISTS, "bestaat reeds")


class AgainError(Exception):
    """The same call may succeed later."""

    def __init__(
        self, message: str, *, patient: bool = False, least_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.patient = patient
        self.least_s = least_s


def wait_s(error: AgainError, tries: int) -> float | None:
    """Seconds until the next try after ``tries`` tries; ``None`` if there is no next try."""
    if tries >= ATTEMPTS:
        return None
    waits = PATIENT_WAITS_S if error.patient else WAITS_S
    return max(float(waits[tries - 1]), error.least_s or 0.0)


def is_rejected_token(response: httpx.Response) -> bool:
    """Whether a reply is a 401, or a login page instead, as a redirect or with a 200 (API 1.5, 6.2)."""
    if response.status_code == HTTPStatus.UNAUTHORIZED:
        return True
    if response.is_redirect:
        return "login" in response.headers.get("location", "").lower()
    is_page = response.headers.get("content-type", "").startswith("text/html")
    return is_page and b"object moved" in response.content.lower()


def says_exists(response: httpx.Response) -> bool:
    """Whether a reply is the 500 to a subscription that exists already (API 7)."""
    return response.status_code == HTTPStatus.INTERNAL_SERVER_ERROR and any(
        text in response.text.lower() for text in EXISTS_TEXTS
    )
