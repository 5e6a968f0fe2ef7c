"""Keeps secrets and data out of git, and settings out of the files that git tracks."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from ..files import replace_file

# Below the settings folder, and in the folder of the project.
SECRETS = (
    "secrets.toml",
    "exact_online_tokens*",
    ".exact_online_tokens*",
    "exact_online_notices.db*",
)
DATA = ("*.duckdb", "*.duckdb.wal", "*.duckdb.tmp", ".*.duckdb.*.lock", "exact-online.html")


def is_tracked(path: Path) -> bool:
    """Whether a file belongs to a repository, such as the clone of this project."""
    return git(path.parent, "ls-files", "--error-unmatch", "--", path.name) is not None


def keep_out_of_git(settings: Path) -> None:
    """Make git ignore secrets and data files, without changing a file that it tracks."""
    ignore(settings, SECRETS)
    ignore(settings.absolute().parent, DATA)


def ignore(folder: Path, patterns: Sequence[str]) -> None:
    """Add missing patterns to ``.gitignore``, or to the clone's own list."""
    missing = [p for p in patterns if not is_ignored(folder, p.replace("*", "x"))]
    file = folder / ".gitignore"
    if is_tracked(file):
        place = git(folder, "rev-parse", "--git-path", "info/exclude")
        file = folder / (place or "").strip()
    lines = file.read_text("utf-8").splitlines() if file.exists() else []
    if new := [pattern for pattern in missing if pattern not in lines]:
        file.parent.mkdir(exist_ok=True)
        replace_file(file, "\n".join([*lines, *new, ""]), "init")


def is_ignored(folder: Path, name: str) -> bool:
    """Whether git ignores a file of this name."""
    return git(folder, "check-ignore", "--quiet", "--", name) is not None


def git(folder: Path, *arguments: str) -> str | None:
    """The output of git; ``None`` if it fails, is not installed, or there is no repository."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(  # noqa: S603 (no shell, fixed words and names of files)
            command, capture_output=True, text=True, check=False, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
