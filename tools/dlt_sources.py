"""Makes ``sources/``, from which ``dlt init exact_online duckdb --location CHECKOUT`` copies the source.

    python -m tools.dlt_sources [FOLDER]

The folder is generated and not committed: dlt follows no links that lead out of it.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
NAME = "exact_online"
# dlt replaces the name of the destination, which must be a string, by the one that the user gave.
SCRIPT = '''"""Exact Online into a database: adapt this script, schedule it."""

import dlt

from exact_online import exact_online, run_script, run_to_end


def load() -> int:
    """Load the core entities of every company that the app may see; gives an exit code."""
    pipeline = dlt.pipeline("exact", destination="duckdb", dataset_name="exact_online")
    outcome = run_to_end(pipeline, exact_online(divisions="all"))
    print(outcome)
    return outcome.exit_code


if __name__ == "__main__":
    run_script(load)
'''


def make_sources(folder: Path) -> None:
    """Write the source and its script.

    Args:
        folder: The folder ``sources``; what it held is removed.
    """
    shutil.rmtree(folder, ignore_errors=True)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "exact_source", folder / NAME, ignore=ignored)
    (folder / f"{NAME}_pipeline.py").write_text(SCRIPT, "utf-8")


if __name__ == "__main__":
    make_sources(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "sources")
