"""The command that installs an optional part of this package into the environment that runs it."""

from __future__ import annotations

import json
import sys
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

PACKAGE = "exact-source"
UV_TOOL = "uv tool install"


def install_command(extra: str) -> str:
    """The command that adds an extra, such as ``uv tool install "exact-source[report]"``.

    It names the tool that made the environment, and the clone or file from which the package was installed.

    Args:
        extra: Name of the extra, as in ``pyproject.toml``.
    """
    return f"{_installer()} {_requirement(extra, _origin())}"


def driver_command(kind: str) -> str:
    """The command that adds the driver of a destination, such as ``pip install "dlt[clickhouse]"``.

    Args:
        kind: Name of the destination, which is also the name of dlt's extra.
    """
    installer, driver = _installer(), f'"dlt[{kind}]"'
    if installer == UV_TOOL:  # whose environments hold one package and what comes with it
        return f"{UV_TOOL} --with {driver} {_requirement('', _origin())}"
    return f"{installer} {driver}"


def _installer() -> str:
    parts = Path(sys.prefix).parts
    if "pipx" in parts:
        return f"pipx inject {PACKAGE}"  # keeps the extras that are installed
    if parts[-3:-1] == ("uv", "tools"):
        return UV_TOOL
    return "pip install" if find_spec("pip") else "uv pip install"


def _requirement(extra: str, origin: dict[str, object]) -> str:
    extras = f"[{extra}]" if extra else ""
    url = str(origin.get("url", ""))
    info = origin.get("dir_info")
    if isinstance(info, dict) and info.get("editable"):
        return f'-e "{unquote(urlsplit(url).path)}{extras}"'
    if isinstance(vcs := origin.get("vcs_info"), dict):
        url = f"{vcs['vcs']}+{url}"
    return f'"{PACKAGE}{extras}{f" @ {url}" if url else ""}"'


def _origin() -> dict[str, object]:
    """Where the package was installed from, as the installer noted it (PEP 610); empty for an index."""
    try:
        noted = distribution(PACKAGE).read_text("direct_url.json")
    except PackageNotFoundError:  # a copy that `dlt init` made
        return {}
    found: dict[str, object] = json.loads(noted or "{}")
    return found
