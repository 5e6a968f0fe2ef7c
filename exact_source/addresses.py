"""Checks the addresses of databases."""

from __future__ import annotations

from urllib.parse import urlsplit

from .errors import ConfigurationError


def check_address(url: str, where: str) -> None:
    """Make sure that the address of a database has only one interpretation.

    A password that contains one of ``@ / # ?`` would be split, and a driver's message would show a part of it
    as a host. The error message therefore does not repeat the address.

    Args:
        url: ``postgresql://USER:PASSWORD@HOST:PORT/DATABASE``, or the same of another database.
        where: Name of the option or setting, for messages.

    Raises:
        ConfigurationError: If it is ambiguous or malformed, or has no database.
    """
    scheme = url.partition("://")[0]
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises if it is not a number
        user, _, _ = parts.netloc.rpartition("@")
        is_plain = "@" not in user + parts.path + parts.query and "#" not in url
    except ValueError:
        is_plain = False
    if not is_plain:
        raise ConfigurationError(
            f"{where} is not a valid address; use {scheme}://USER:PASSWORD@HOST:PORT/DATABASE, "
            "and write characters of the password other than letters and digits as %XX (@ is %40)"
        ) from None
    if not parts.path.strip("/"):
        raise ConfigurationError(
            f"{where} does not name a database; use {scheme}://USER@HOST/DATABASE"
        )
