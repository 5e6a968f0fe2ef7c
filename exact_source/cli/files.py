"""Replaces files atomically: a reader sees the old text or the new one."""

from __future__ import annotations

from pathlib import Path

from .. import atomic_file
from ..atomic_file import PRIVATE, PUBLIC
from ..errors import ConfigurationError

__all__ = ["PRIVATE", "PUBLIC", "replace_file"]


def replace_file(path: Path, text: str, what: str, *, mode: int = PUBLIC) -> None:
    """Create or replace a file.

    Args:
        path: The file; its folder must exist.
        text: Its new content.
        what: The option or command that needs it, for messages.
        mode: Mode of the file, from its creation on.

    Raises:
        ConfigurationError: If it cannot be written; the file is then unchanged.
    """
    try:
        atomic_file.replace_file(path, text, mode=mode)
    except OSError as error:
        raise ConfigurationError(f"{what}: {path} cannot be written: {error.strerror}") from None
