"""Replaces files as a whole: a reader sees the old text or the new one."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from ..errors import ConfigurationError

PRIVATE, PUBLIC = 0o600, 0o666  # the umask reduces the second


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
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        draft.replace(path)
    except OSError as error:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise ConfigurationError(f"{what}: {path} cannot be written: {error.strerror}") from None
