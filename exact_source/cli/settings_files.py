"""Checks the settings files before dlt reads them: dlt's error message has neither file nor remedy."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError
from .settings_names import check_section, check_variables

SETTINGS = ".dlt"
GIVEN = "DLT_PROJECT_DIR"  # dlt's own variable for the folder of the project
FILES = ("config.toml", "secrets.toml")
BARE_VALUE = re.compile(r"""\s*[\w.-]+\s*=\s*[^\s"'\[{=]""")  # a text without quotes
# Words of ``tomllib`` -> what to do.
REMEDIES = {
    "Cannot declare": "this section is in the file already: put all of its settings under one heading",
    "Cannot overwrite": "this setting is in the file already: keep one of the two",
}


def check_settings_files() -> None:
    """Make sure that dlt can read its settings files, and that each of our settings has a known name.

    Raises:
        ConfigurationError: If a file cannot be read or is not TOML, or if a name is unknown; the message
            has its path, and its line or the name.
    """
    for path in settings_files():
        try:
            text = path.read_text("utf-8")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ConfigurationError(f"{path} is not UTF-8 text; save it as UTF-8") from None
        check_section(str(path), parse_toml(path, text))
    check_variables(os.environ)


def parse_toml(path: Path, text: str) -> dict[str, Any]:
    """The content of a TOML file.

    Raises:
        ConfigurationError: If it is not TOML; the message does not quote the text.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"at line (\d+)", str(error))
        lines = text.splitlines()
        line = int(found[1]) if found else len(lines)
        named = (remedy for words, remedy in REMEDIES.items() if words in str(error))
        is_bare = line <= len(lines) and BARE_VALUE.match(lines[line - 1])
        remedy = next(named, "put the value between double quotes" if is_bare else "correct it")
        raise ConfigurationError(f"{path}, line {line}: not valid TOML; {remedy}") from None


def settings_files() -> Iterator[Path]:
    """The files of the project, then those of the user."""
    project = Path(os.environ.get(GIVEN, ".")).absolute() / SETTINGS
    of_user = Path("/var/dlt") if os.geteuid() == 0 else Path.home() / SETTINGS
    for folder in (project, of_user):
        for name in FILES:
            yield folder / name
