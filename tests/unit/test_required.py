"""What can be installed is skipped on a laptop, and must be there at night."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.environments import REQUIRED, environment, missing

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("value", "outcome"), [("", pytest.skip.Exception), ("1", pytest.fail.Exception)]
)
def test_what_is_missing(
    value: str,
    outcome: type[BaseException],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(REQUIRED, value)
    with pytest.raises(outcome, match="no server"):
        missing("no server")
    monkeypatch.setattr("tests.support.environments.CACHE", tmp_path / "environments")
    monkeypatch.setenv("UV_OFFLINE", "1")
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("a-package-that-does-not-exist==0\n")
    with pytest.raises(outcome, match="could not be installed"):
        environment("broken", requirements)


@pytest.mark.parametrize(("target", "value"), [("nightly", "1"), ("proofs", "1"), ("test", "")])
def test_the_variable_of_a_target(
    target: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(REQUIRED, raising=False)
    recipes = tmp_path / "recipes.mk"  # instead of those of the Makefile
    recipes.write_text(
        f"{target}: ; @echo is=$${REQUIRED}.\nlint types browser $(VENV)/.dev: ; @true\n"
    )
    command = ["make", "-f", "Makefile", "-f", str(recipes), target]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert f"is={value}." in done.stdout
