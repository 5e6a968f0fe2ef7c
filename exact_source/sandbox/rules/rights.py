"""What the user of the app may read, per division and endpoint (API 5, 6.1, and 0.1 point 9)."""

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
    """Denials by division and endpoint path; what is not denied is allowed."""

    def __init__(self) -> None:
        self._denied: dict[tuple[int, str], str] = {}

    def deny(self, division: int, path: str = EVERYTHING, how: str = "403") -> None:
        """Refuse a path, or everything in a division.

        Args:
            division: Whose rows are meant.
            path: Endpoint path, ``*`` for all of them.
            how: ``403``, ``empty`` (a list without rows), ``module`` (403 with that text), or what the
                header ``Reason`` of a 403 says, such as ``DivisionBlocked``.
        """
        if how not in WAYS:
            raise ValueError(f"rights can be denied as {', '.join(sorted(WAYS))}, not {how!r}")
        self._denied[division, path] = how

    def allow(self, division: int, path: str = EVERYTHING) -> None:
        """Take a denial back; ``*`` takes back all denials of the division."""
        for at, denied in list(self._denied):
            if at == division and path in {EVERYTHING, denied}:
                del self._denied[at, denied]

    def denial(self, division: int, path: str) -> str | None:
        """How a path is denied; ``None`` if it is not."""
        return self._denied.get((division, path)) or self._denied.get((division, EVERYTHING))

    def check(self, division: int, path: str) -> bool:
        """Refuse the call if need be.

        Returns:
            Whether the rows are hidden, so that the answer is an empty list.
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
