"""The command that installs an optional part of this package into the environment that runs it."""

from __future__ import annotations

import json
import sys
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

PACKAGE = "exact-source"


def install_command(extra: str) -> str:
    """The command that adds an extra, such as ``uv tool install "exact-source[report]"``.

    It names the tool that made the environment, and the clone or file from which the package was installed.

    Args:
        extra: Name of the extra, as in ``pyproject.toml``.
    """
    return f"{_installer()} {_requirement(extra, _origin())}"


def _installer() -> str:
    parts = Path(sys.prefix).parts
    if "pipx" in parts:
        return f"pipx inject {PACKAGE}"  # keeps the extras that are installed
    if parts[-3:-1] == ("uv", "tools"):
        return "uv tool install"
    return "pip install" if find_spec("pip") else "uv pip install"


def _requirement(extra: str, origin: dict[str, object]) -> str:
    url = str(origin.get("url", ""))
    info = origin.get("dir_info")
    if isinstance(info, dict) and info.get("editable"):
        return f'-e "{unquote(urlsplit(url).path)}[{extra}]"'
    if isinstance(vcs := origin.get("vcs_info"), dict):
        url = f"{vcs['vcs']}+{url}"
    return f'"{PACKAGE}[{extra}]{f" @ {url}" if url else ""}"'


def _origin() -> dict[str, object]:
    """Where the package was installed from, as the installer noted it (PEP 610); empty for an index."""
    try:
        noted = distribution(PACKAGE).read_text("direct_url.json")
    except PackageNotFoundError:  # a copy that `dlt init` made
        return {}
    found: dict[str, object] = json.loads(noted or "{}")
    return found
