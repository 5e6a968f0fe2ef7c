"""BigQuery for tests: the emulator `local-bigquery`, or a real project.

dlt and Google's client run as in production: they find Google's default credentials, in the file
that GOOGLE_APPLICATION_CREDENTIALS names, and send their jobs. Only the endpoint is on loopback, and
the token of the login is never verified.

With EXACT_TEST_BIGQUERY=1 the tests marked `real_bigquery` run, against the project and with the
credentials of the environment (GOOGLE_APPLICATION_CREDENTIALS); they make datasets
called `exact_test_...` and drop them.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest

from tests.support.environments import environment, python_of

ENVIRONMENT = "EXACT_TEST_BIGQUERY"
PROJECT = "local-project"
HERE = Path(__file__).parent
EXTENSIONS = """\
import duckdb_extensions
for name in ("icu", "ducklake", "spatial"):
    duckdb_extensions.import_extension(name)
"""


@pytest.fixture
def bigquery(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings with which `destination="bigquery"` leads to the emulator."""
    for name, value in bigquery_settings().items():
        monkeypatch.setenv(name, value)


@cache
def bigquery_settings() -> Mapping[str, str]:
    """Environment variables; the emulator is started on first use and ends with this process."""
    folder = Path(tempfile.mkdtemp(prefix="exact-bq-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    address = _start(folder)
    login = folder / "application_default_credentials.json"
    login.write_text(json.dumps(credentials()))
    return {
        "BIGQUERY_EMULATOR_HOST": address,
        "GOOGLE_CLOUD_PROJECT": PROJECT,
        "GOOGLE_APPLICATION_CREDENTIALS": str(login),
        "NORMALIZE__DATA_WRITER__DISABLE_COMPRESSION": "true",  # the emulator cannot decompress uploads
    }


def credentials() -> dict[str, str]:
    """A credentials file like that of `gcloud auth application-default login`, with a fake user and token."""
    return {
        "type": "authorized_user",
        "client_id": "none",
        "client_secret": "none",
        "refresh_token": "none",
        "token": "none",
        "expiry": "2999-01-01T00:00:00Z",
        "quota_project_id": PROJECT,
    }


def _start(folder: Path) -> str:
    python = environment(
        "bigquery",
        HERE / "bigquery_requirements.txt",
        interpreter=python_of("3.13"),
        prepare=EXTENSIONS,
    )
    log = (folder / "log").open("w")
    server = subprocess.Popen(
        [str(python), str(HERE / "bigquery_server.py"), str(folder / "data")],
        env={**os.environ, "HOME": str(python.parents[1] / "home")},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
    )  # fmt: skip
    assert server.stdin is not None
    assert server.stdout is not None
    atexit.register(server.stdin.close)
    port = server.stdout.readline().strip()
    assert port, (folder / "log").read_text()
    return f"http://127.0.0.1:{port}"
