"""The setup of ``docs/sandbox.md``, word for word, with a browser that opens the address."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from exact_source.sandbox import Sandbox

PAGE = Path(__file__).parents[2] / "docs" / "sandbox.md"


@pytest.mark.nightly
def test_a_new_user_gets_from_an_empty_folder_to_tables(tmp_path: Path) -> None:
    (block,) = re.findall(r"```sh\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with Sandbox(companies=1, invoices=2).serve() as base_url:
        script = f"set -e\n{block}".replace("http://127.0.0.1:8080", base_url)
        with subprocess.Popen(
            ["sh", "-c", script], cwd=tmp_path / "project", env=os.environ | {"PATH": path}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as person:  # fmt: skip
            assert person.stderr is not None
            address = next(line.strip() for line in person.stderr if "/api/oauth2/auth?" in line)
            led_to = httpx.get(address, trust_env=False).headers["location"]
            out, err = person.communicate(f"{led_to}\n", timeout=120)

    assert person.returncode == 0, err
    assert "the tables are in" in err
    *_, status = out.rpartition("entity ")
    assert "accounts" in status
    assert "failed" not in status
    assert (tmp_path / "project" / ".dlt" / "secrets.toml").stat().st_mode & 0o077 == 0
