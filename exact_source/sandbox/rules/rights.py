"""The user's rights, per division and endpoint (API 5, 6.1, and 0.1 point 9)."""

from __future__ import annotations

from ..http.errors import MODULE_MISSING, NO_RIGHTS, NOT_IN_SCOPE, RefusedError

REASONS = frozenset(
    {
        "BlockedUser",
        "InactiveUser",
        "BlockedCustomer",
        "LicenseExpired",
        "DivisionBlocked",
        "NoDivisionAccess",
    }
)
WAYS = REASONS | {"403", "empty", "module"}
EVERYTHING = "*"


class Rights:
    """Denials by division and endpoint path; everything else is allowed."""

    def __init__(self) -> None:
        self._denied: dict[tuple[int, str], str] = {}

    def deny(self, division: int, path: str = EVERYTHING, how: str = "403") -> None:
        """Deny a path, or everything in a division.

        Args:
            division: Code of the division.
            path: Endpoint path, ``*`` for all of them.
            how: ``403``, ``empty`` (a list without rows), ``module`` (403 with that text), or the value of
                the header ``Reason`` of a 403, such as ``DivisionBlocked``.
        """
        if how not in WAYS:
            raise ValueError(f"rights can be denied as {', '.join(sorted(WAYS))}, not {how!r}")
        self._denied[division, path] = how

    def allow(self, division: int, path: str = EVERYTHING) -> None:
        """Remove a denial; ``*`` removes all denials of the division."""
        for at, denied in list(self._denied):
            if at == division and path in {EVERYTHING, denied}:
                del self._denied[at, denied]

    def denial(self, division: int, path: str) -> str | None:
        """The kind of denial of a path; ``None`` if it is allowed."""
        return self._denied.get((division, path)) or self._denied.get((division, EVERYTHING))

    def check(self, division: int, path: str) -> bool:
        """Refuse the call if it is denied.

        Returns:
            Whether the rows are hidden, so that the reply is an empty list.
        """
        how = self.denial(division, path)
        if how in {None, "empty"}:
            return how == "empty"
        if how == "NoDivisionAccess":
            raise RefusedError(403, NOT_IN_SCOPE, {"Reason": how})
        if how in REASONS:
            raise RefusedError(403, f"Forbidden - {how}", {"Reason": how})
        raise RefusedError(403, MODULE_MISSING if how == "module" else NO_RIGHTS)

    def reset(self) -> None:
        """Allow everything."""
        self._denied.clear()
