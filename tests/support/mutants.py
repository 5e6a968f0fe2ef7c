"""Small changes of the source that some test must notice, and copies of the tree to try them in.

A change replaces a text that occurs once in a file. The working tree is never changed: the tests run in a
copy and in a separate process, because they must import from the copy.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
# The files that tests read, without caches and environments.
PARTS = (
    "exact_source", "tests", "tools", "pipelines", "docs", "examples", "benchmarks", ".dlt",
    "pyproject.toml", "README.md", "CHANGELOG.md", "Makefile", "Containerfile",
)  # fmt: skip
NOT_COPIED = shutil.ignore_patterns("__pycache__", "images", ".cache", "target", "logs")
PASSED, FAILED = 0, 1  # exit codes of pytest; others mean that it could not run the tests


@dataclass(frozen=True)
class Mutant:
    """A change of one file.

    Attributes:
        file: Path below the root of the project.
        old: Original text, which occurs once.
        new: Replacement.
    """

    file: str
    old: str
    new: str

    def applied_to(self, text: str) -> str:
        """The text of the file with the change.

        Raises:
            ValueError: If ``old`` does not occur exactly once.
        """
        found = text.count(self.old)
        if found != 1:
            raise ValueError(f"{self.file} has {self.old!r} {found} times")
        return text.replace(self.old, self.new)

    def apply(self, root: Path) -> None:
        """Change the file in a copy of the tree."""
        path = root / self.file
        path.write_text(self.applied_to(path.read_text("utf-8")), "utf-8")


def copy_tree(folder: Path) -> Path:
    """Copy all files that tests need to a new folder."""
    folder.mkdir(parents=True)
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=NOT_COPIED)
        elif source.exists():
            shutil.copy2(source, folder / part)
    return folder


def outer_environment() -> dict[str, str]:
    """The environment without what pytest and its plugins put there for the tests that now run."""
    return {name: text for name, text in os.environ.items() if not name.startswith("PYTEST_")}


def run_tests(
    root: Path, tests: Sequence[str], *options: str, timeout_s: float = 900
) -> tuple[int, str]:
    """Run tests of a copy.

    Args:
        root: Folder of the copy.
        tests: Ids of the tests.
        options: Further options of pytest.
        timeout_s: Seconds after which the tests count as failed.

    Returns:
        The exit code of pytest, and what it printed.
    """
    command = [
        sys.executable, "-B", "-m", "pytest", "-q", "-x", "-m", "", "-p", "no:cacheprovider",
        *options, *tests,
    ]  # fmt: skip
    # Commands that tests start must import from the copy as well.
    environment = outer_environment() | {"PYTHONPATH": str(root)}
    try:
        ended = subprocess.run(
            command, cwd=root, env=environment, capture_output=True, text=True, check=False,
            timeout=timeout_s,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return FAILED, f"not done after {timeout_s:.0f} s"
    return ended.returncode, ended.stdout + ended.stderr
