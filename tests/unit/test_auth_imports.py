from __future__ import annotations

import subprocess
import sys

import exact_source.auth
from exact_source.auth import OAuth

HEAVY = ("dlt", "sqlalchemy", "cryptography", "duckdb", "pyarrow")


def test_importing_does_not_cost_the_start_of_the_command() -> None:
    program = f"import sys, exact_source.auth; print([m for m in {HEAVY} if m in sys.modules])"

    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert (result.stdout.strip(), result.stderr) == ("[]", "")


def test_every_public_name_can_be_imported() -> None:
    assert [
        name for name in exact_source.auth.__all__ if not hasattr(exact_source.auth, name)
    ] == []
    assert OAuth.__module__.startswith("exact_source.auth")
