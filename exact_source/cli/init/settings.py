"""Settings of the connection: their checks, and their values from options, files and answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from tomlkit import TOMLDocument

from ...errors import ConfigurationError
from ...settings import LOOPBACK, REGIONS, SECTION, resolve_base_url, without_quotes
from .questions import prompt
from .toml_files import found


def check_redirect(text: str) -> str:
    """A redirect URI that Exact Online accepts.

    Raises:
        ConfigurationError: If it is not valid.
    """
    if not is_redirect(text):
        raise ConfigurationError(
            f"--redirect-uri {text!r} is not valid at Exact Online; use https and a host that is not "
            "localhost, exactly as registered with the app"
        )
    return text


def is_redirect(text: str) -> bool:
    """Whether an app can be registered with this redirect URI, or could be in the past."""
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises if it is none
    except ValueError:
        return False
    if parts.scheme == "http":  # older registrations; a new one cannot be made (API 1.1)
        return parts.hostname in LOOPBACK
    return parts.scheme == "https" and parts.hostname not in {None, *LOOPBACK}


def check_filled(text: str) -> str:
    """A text that is not empty.

    Raises:
        ConfigurationError: If it is.
    """
    if not text.strip():
        raise ConfigurationError(
            "a client id or secret is empty; copy it from the app's registration"
        )
    return text.strip()


def check_region(text: str) -> str:
    """A country of Exact Online.

    Raises:
        ConfigurationError: If Exact Online has no site for it.
    """
    resolve_base_url(text, None)
    return text


@dataclass(frozen=True)
class Setting:
    """A setting of ``init``.

    Attributes:
        name: Name in the section ``sources.exact_online``.
        file: ``config`` or ``secrets``.
        question: Question at the terminal.
        check: Returns the value for the file, or raises ``ConfigurationError``.
        default: Value if none is given; ``None`` if it must be given.
    """

    name: str
    file: str
    question: str
    check: Callable[[str], str]
    default: str | None = None

    @property
    def flag(self) -> str:
        """The option of the command line."""
        return f"--{self.name.replace('_', '-')}"


SETTINGS = (
    Setting("region", "config", f"Country ({' '.join(REGIONS)})", check_region, "nl"),
    Setting("client_id", "secrets", "Client id of your app", check_filled),
    Setting("client_secret", "secrets", "Client secret", check_filled),
    Setting("redirect_uri", "config", "Redirect URI, exactly as registered", check_redirect),
)


def with_file(setting: Setting, file: str) -> Setting:
    """The same setting in another file."""
    return dataclasses.replace(setting, file=file)


class Answers:
    """The values of the settings.

    Args:
        given: Options of the command line.
        before: The current settings files.
        config: The file for values that are not secret: ``config``, or ``secrets`` if git tracks ``config``.
        asks: Whether there is a terminal to ask at.
        replace: Whether an option may change an existing value.
    """

    def __init__(
        self,
        given: Mapping[str, str | None],
        before: Mapping[str, TOMLDocument],
        *,
        config: str = "config",
        asks: bool,
        replace: bool,
    ) -> None:
        self._given = {
            name: None if text is None else without_quotes(text) for name, text in given.items()
        }
        self._before = before
        self._settings = [s if s.file == "secrets" else with_file(s, config) for s in SETTINGS]
        self._asks, self._replace = asks, replace

    def all(self) -> dict[Setting, str]:
        """A value for each setting.

        Raises:
            ConfigurationError: If a value is wrong, is missing and there is no terminal to ask for it, or
                would change an existing one.
        """
        given = {
            s: s.check(text) for s in self._settings if (text := self._given[s.name]) is not None
        }
        missing = [s.flag for s in self._settings if self._known(s) is None]
        if missing and not self._asks:
            raise ConfigurationError(
                f"init needs {', '.join(missing)} if there is no terminal to ask"
            )
        return {setting: self._value(setting, given.get(setting)) for setting in self._settings}

    def _value(self, setting: Setting, value: str | None) -> str:
        old = self._old(setting)
        if value is None:
            known = self._known(setting)
            return self._ask(setting, known) if self._asks else str(known)
        if old is not None and old != value and not self._replace:
            raise ConfigurationError(
                f"{SECTION}.{setting.name} has another value in .dlt/{setting.file}.toml; "
                "--replace changes it"
            )
        return value

    def _ask(self, setting: Setting, known: str | None) -> str:
        if setting.name != "client_secret":
            return prompt(setting.question, known, setting.check)
        question = setting.question + (" (Enter keeps the present one)" if known else "")
        return prompt(question, known, setting.check, secret=True)

    def _known(self, setting: Setting) -> str | None:
        return self._given[setting.name] or self._old(setting) or setting.default

    def _old(self, setting: Setting) -> str | None:
        value = found(self._before[setting.file], (*SECTION.split("."), setting.name))
        return str(value) if value else None
