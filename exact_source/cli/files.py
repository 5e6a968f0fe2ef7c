"""Replaces files as a whole: a reader sees the old text or the new one."""

from __future__ import annotations

from pathlib import Path

from .. import atomic_file
from ..atomic_file import PRIVATE, PUBLIC
from ..errors import ConfigurationError

__all__ = ["PRIVATE", "PUBLIC", "replace_file"]


def replace_file(path: Path, text: str, what: str, *, mode: int = PUBLIC) -> None:
    """Put a file in place.

    Args:
        path: The file; its folder must be there.
        text: Its new content.
        what: The option or command that needs it, for messages.
        mode: Mode of the file, from its first byte on.

    Raises:
        ConfigurationError: If it cannot be written; the file is then as it was.
    """
    try:
        atomic_file.replace_file(path, text, mode=mode)
    except OSError as error:
        raise ConfigurationError(f"{what}: {path} cannot be written: {error.strerror}") from None
