"""Command lines for messages, as they can be typed in the current folder."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path


def own_command() -> str:
    """How to call this command: by its name if that is on the PATH, otherwise by its path."""
    beside = Path(sys.executable).with_name("exact-source")
    if not beside.exists():
        return f"{from_here(Path(sys.executable))} -m exact_source"
    on_path = shutil.which("exact-source")
    if on_path is not None and Path(on_path).samefile(beside):
        return "exact-source"
    return from_here(beside)


def from_here(path: Path) -> str:
    """A path, relative if it is below the current folder."""
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))
