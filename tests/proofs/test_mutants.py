"""Mutants of ``auth/``, the engine and the loading code: whether some test notices each of them.

``survivors.toml`` lists those that are not tried, and why. EXACT_MUTANTS sets how many there are of each
package, EXACT_MUTANTS_SEED which ones.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.mutants import ROOT, outer_environment

LEAST = 300
OPTIONS = ["-q", "-p"]
# Quick tests; those of processes and hosts say nothing about a line of code.
TESTS = [
    *(f"tests/unit/test_{name}.py" for name in (
        "auth_answers", "auth_imports", "auth_masking", "auth_redirect", "auth_tokens", "batches",
        "companies", "connection", "cursors", "divisions_of_a_run", "feeds", "in_flight",
        "loading_resources", "loading_rules", "loading_tables", "new_rows", "news", "page_reader", "planning",
        "refresh_requests", "refusals", "rejected_rows", "rounds", "rows", "selection", "stream_output",
        "tombstone_lists",
    )),
    *(f"tests/auth/test_{name}.py" for name in (
        "auth_callback", "auth_database", "auth_dlt", "auth_endpoint", "auth_files", "auth_interrupt",
        "auth_oauth", "auth_rounds", "auth_secrets", "auth_stores", "storage_rules", "token_life",
        "token_origin",
    )),
    "tests/engine/sync", "tests/engine/test_reliability.py", "tests/engine/test_convergence_directed.py",
    "tests/engine/test_convergence_independent.py",
    *(f"tests/dlt/test_{name}.py" for name in (
        "comments", "duplicates", "failed_jobs", "first_load", "history", "idioms", "indexes",
        "lost_tables", "schema_changes", "shared_lists", "strategies", "sync_first_and_second", "two_hosts",
        "working_folder", "writer_claims", "writer_lock",
    )),
]  # fmt: skip


@pytest.mark.proofs
@pytest.mark.timeout(6 * 3600)
def test_every_mutant_is_noticed_or_explained(tmp_path: Path) -> None:
    environment = outer_environment() | {"EXACT_REACH": str(tmp_path / "reach")}
    assert start("tests.support.mutants_reach", environment).wait() == 0
    shards = os.cpu_count() or 1
    outs = [tmp_path / f"mutants{n}.jsonl" for n in range(shards)]
    running = [
        start(
            "tests.support.mutants_run",
            environment | {"EXACT_MUTANTS_OUT": str(out), "EXACT_MUTANTS_SHARD": f"{n}/{shards}"},
        )
        for n, out in enumerate(outs)
    ]
    assert [process.wait() for process in running] == [0] * shards

    tried = [json.loads(line) for out in outs for line in out.read_text("utf-8").splitlines()]
    tried = [one for one in tried if one["outcome"] != "not tried"]
    assert len(tried) >= LEAST
    assert [one["name"] for one in tried if one["outcome"] != "killed"] == []


def start(plugin: str, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start the tests with a plugin."""
    command = [sys.executable, "-m", "pytest", *OPTIONS, plugin, *TESTS]
    return subprocess.Popen(command, cwd=ROOT, env=environment)
