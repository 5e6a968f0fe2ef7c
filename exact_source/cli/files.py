"""Replaces files atomically: a reader sees the old text or the new one."""

from __future__ import annotations

from pathlib import Path

from .. import atomic_file
from ..atomic_file import PRIVATE, PUBLIC
from ..errors import ConfigurationError

__all__ = ["PRIVATE", "PUBLIC", "check_target", "replace_file"]


def check_target(path: Path, option: str) -> None:
    """Refuse a file that cannot be created or replaced, before the work whose result it gets.

    Raises:
        ConfigurationError: If its folder does not exist, or if it is a folder itself.
    """
    if not path.absolute().parent.is_dir():
        raise ConfigurationError(
            f"{option}: there is no folder {path.absolute().parent}; create it first"
        )
    if path.is_dir():
        raise ConfigurationError(f"{option}: {path} is a folder; name a file in it")


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
