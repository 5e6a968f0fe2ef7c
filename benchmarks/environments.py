"""Environments for benchmarks that run a command as users do, without the packages of developers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
ENVIRONMENTS = ROOT / ".environments"
OURS = [str(ROOT)]


def program(environment: str, name: str) -> str:
    return str(ENVIRONMENTS / f"bench-{environment}" / "bin" / name)


def prepare(name: str, packages: Sequence[str]) -> None:
    """Make an environment, unless it exists with the same packages.

    This project is always installed again, because its source may have changed.

    Raises:
        subprocess.CalledProcessError: If a package cannot be installed.
    """
    uv = str(ROOT / ".venv" / "bin" / "uv")
    folder = ENVIRONMENTS / f"bench-{name}"
    mark, wanted = folder / "made-from.txt", "\n".join(packages)
    if mark.exists() and mark.read_text() == wanted and packages != OURS:
        return
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([uv, "venv", "-q", "--python", sys.executable, folder], check=True)
    subprocess.run([uv, "pip", "install", "-q", "--python", python, *packages], check=True)
    mark.write_text(wanted)
