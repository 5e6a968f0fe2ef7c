"""``exact-source init``: the settings files, from questions or from flags."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from ..errors import ConfigurationError
from ..settings import LOOPBACK, REGIONS, SECTION, resolve_base_url
from .logs import notes
from .options import AsJson

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

# What must never get into a repository; `.dlt/.gitignore` keeps it out whatever the user's own says.
IGNORED = ("secrets.toml", "exact_online_tokens*", ".exact_online_tokens*")
FILES = ("config", "secrets")
# Where a setting goes: file, tables, name.
Entries = dict[tuple[str, ...], str]
NOTED = (*SECTION.split("."), "destination")
BIGQUERY = ("destination", "bigquery", "credentials")
KEY_PARTS = ("project_id", "private_key", "client_email")
STDIN = "-"


def check_redirect(text: str) -> str:
    """A redirect URI that Exact Online takes.

    Raises:
        ConfigurationError: If it is none.
    """
    if not is_redirect(text):
        raise ConfigurationError(
            f"--redirect-uri {text!r} is none that Exact Online takes; use https and a host that is "
            "not localhost, exactly as registered with the app"
        )
    return text


def is_redirect(text: str) -> bool:
    """Whether an app can be registered with this redirect URI, or could once."""
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
        raise ConfigurationError("an empty client id or secret is none; see the app's registration")
    return text.strip()


def check_region(text: str) -> str:
    """A country of Exact Online.

    Raises:
        ConfigurationError: If it has no site there.
    """
    resolve_base_url(text, None)
    return text


@dataclass(frozen=True)
class Setting:
    """A setting that is asked for.

    Attributes:
        name: In the section ``sources.exact_online``.
        file: ``config`` or ``secrets``.
        question: For a person.
        check: Gives the value as it is written, or raises ``ConfigurationError``.
        default: If nothing else is said; ``None`` if somebody has to say it.
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


def init(  # noqa: PLR0913, PLR0917 (options of a command)
    context: typer.Context,
    region: Annotated[
        str | None, typer.Option(metavar="|".join(REGIONS), help="Country of the site.")
    ] = None,
    client_id: Annotated[str | None, typer.Option(help="Client id of the registered app.")] = None,
    client_secret: Annotated[
        str | None, typer.Option(help="Its client secret; - reads it from standard input.")
    ] = None,
    redirect_uri: Annotated[
        str | None, typer.Option(metavar="URI", help="Exactly as registered with the app.")
    ] = None,
    destination: Annotated[
        str | None,
        typer.Option(
            metavar="WHERE",
            help="duckdb, duckdb:PATH, postgres, postgresql://USER@HOST/DATABASE or bigquery.",
        ),
    ] = None,
    bigquery_key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="JSON key of the service account for BigQuery; its content goes into secrets.toml.",
        ),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Let flags change settings that are there already.")
    ] = False,
    log_in: Annotated[
        bool | None, typer.Option("--login/--no-login", help="Log in afterwards. Default: ask.")
    ] = None,
    check: Annotated[
        bool | None, typer.Option("--check/--no-check", help="Check afterwards. Default: ask.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write .dlt/config.toml and .dlt/secrets.toml, then offer to log in and to check.

    Asks for what is not given; where nobody can be asked, everything has to be given. What else is
    in the files stays. The secrets are readable by you alone and ignored by git.

    Example: exact-source init --region nl --client-id ID --client-secret - --redirect-uri https://x.example/
    """
    from .output import print_json

    given = {
        "region": region,
        "client_id": client_id,
        "client_secret": sys.stdin.readline() if client_secret == STDIN else client_secret,
        "redirect_uri": redirect_uri,
    }
    folder = settings_folder()
    before = {file: read_toml(folder / f"{file}.toml") for file in FILES}
    asks = sys.stdin.isatty()
    values = Answers(given, before, asks=asks, replace=replace).all()
    destination, entries = where_to(destination, bigquery_key, before, asks=asks)
    if not replace:
        refuse_other(before, entries)
    for setting, value in values.items():
        entries[setting.file, *SECTION.split("."), setting.name] = value
    changed = merge(before, entries)
    write(folder, before, changed)
    if not as_json:
        show(folder, changed)
    reload_settings()
    steps = Steps(context, destination, as_json=as_json)
    logged_in = wanted(log_in, "Log in now?", asks=asks) and steps.log_in()
    checked = wanted(check, "Check everything?", asks=asks and logged_in) and steps.check()
    if as_json:
        written = {"folder": str(folder), "written": changed, "destination": destination}
        print_json(written | steps.results)
    elif not logged_in and not checked:
        notes.info("next: exact-source login, exact-source check, exact-source sync")
    raise typer.Exit(steps.code)


class Answers:
    """What the settings shall be.

    Args:
        given: Flags.
        before: The files as they are.
        asks: Whether there is somebody to ask.
        replace: Whether a flag may change what is there.
    """

    def __init__(
        self,
        given: Mapping[str, str | None],
        before: Mapping[str, TOMLDocument],
        *,
        asks: bool,
        replace: bool,
    ) -> None:
        self._given, self._before = given, before
        self._asks, self._replace = asks, replace

    def all(self) -> dict[Setting, str]:
        """A value for each setting.

        Raises:
            ConfigurationError: If one is wrong, is missing with nobody to ask, or would change one
                that is there.
        """
        if not self._asks and (missing := [s.flag for s in SETTINGS if self._known(s) is None]):
            raise ConfigurationError(f"init needs {', '.join(missing)} where nobody can be asked")
        return {setting: self._value(setting) for setting in SETTINGS}

    def _value(self, setting: Setting) -> str:
        given, old = self._given[setting.name], self._old(setting)
        if given is None:
            known = self._known(setting)
            return self._ask(setting, known) if self._asks else str(known)
        value = setting.check(given)
        if old is not None and old != value and not self._replace:
            raise ConfigurationError(
                f"{SECTION}.{setting.name} is set to something else in .dlt/{setting.file}.toml; "
                "--replace changes it"
            )
        return value

    def _ask(self, setting: Setting, known: str | None) -> str:
        if setting.name != "client_secret":
            return prompt(setting.question, known, setting.check)
        question = setting.question + (" (Enter keeps the one there is)" if known else "")
        return prompt(question, known, setting.check, secret=True)

    def _known(self, setting: Setting) -> str | None:
        return self._given[setting.name] or self._old(setting) or setting.default

    def _old(self, setting: Setting) -> str | None:
        value = found(self._before[setting.file], (*SECTION.split("."), setting.name))
        return str(value) if value else None


def prompt(
    question: str, default: str | None, check: Callable[[str], Any], *, secret: bool = False
) -> str:
    """Ask on stderr until the answer is one."""

    def convert(text: str) -> str:
        try:
            check(text)
        except ConfigurationError as error:
            raise typer.BadParameter(str(error)) from None
        return text.strip()

    return str(
        typer.prompt(
            question, default, hide_input=secret, show_default=not secret, value_proc=convert, err=True
        )
    )  # fmt: skip


def where_to(
    given: str | None, key: Path | None, before: Mapping[str, TOMLDocument], *, asks: bool
) -> tuple[str, Entries]:
    """The destination, asked for if it was not given, and what the files have to say of it."""
    noted = str(found(before["config"], NOTED) or "duckdb")
    if given is None:
        given = prompt("Destination", noted, check_destination) if asks else noted
    kind, place = check_destination(given)
    if asks and key is None and kind == "bigquery" and found(before["secrets"], BIGQUERY) is None:
        key = ask_for_key()
    return given, {("config", *NOTED): kind} | credentials(kind, place, key)


def check_destination(text: str) -> tuple[str, str]:
    """The kind of a destination, and its place; empty if dlt's configuration says it.

    Raises:
        ConfigurationError: If it is unknown, or what it needs is not installed.
    """
    from .connect import need_extra, parse_destination

    kind, place = parse_destination(text)
    need_extra(kind)
    return kind, place


def ask_for_key() -> Path | None:
    """The file of the key for BigQuery; ``None`` for what the environment has."""
    question = "File of the service account's key (Enter: the credentials of the environment)"
    answer = prompt(question, "", lambda text: text and read_key(Path(text)))
    return Path(answer) if answer else None


def read_key(file: Path) -> dict[str, str]:
    """What dlt needs of a service account's key.

    Raises:
        ConfigurationError: If the file is none; nothing of its content is said.
    """
    try:
        held = json.loads(file.expanduser().read_text("utf-8"))
        return {name: str(held[name]) for name in KEY_PARTS}
    except OSError as error:
        raise ConfigurationError(
            f"--bigquery-key: {file} cannot be read: {error.strerror}"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise ConfigurationError(
            f"--bigquery-key: {file} is no JSON key of a service account; make one in the console of "
            "Google Cloud"
        ) from None


def credentials(kind: str, place: str, key: Path | None) -> Entries:
    """What ``secrets.toml`` has to say of a destination."""
    if kind == "bigquery" and key is not None:
        return {("secrets", *BIGQUERY, name): value for name, value in read_key(key).items()}
    return {("secrets", "destination", kind, "credentials"): place} if place else {}


def settings_folder() -> Path:
    """Where dlt looks for settings."""
    import dlt

    return Path(dlt.current.run_context().settings_dir)


def read_toml(path: Path) -> TOMLDocument:
    """A settings file; empty if there is none.

    Raises:
        ConfigurationError: If it cannot be read.
    """
    import tomlkit
    from tomlkit.exceptions import ParseError

    try:
        return tomlkit.parse(path.read_text("utf-8")) if path.exists() else tomlkit.document()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    except ParseError as error:
        raise ConfigurationError(f"{path} is no TOML in line {error.line}; correct it") from None


def found(document: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """The value at a path; ``None`` if there is none."""
    value: Any = document
    for part in path:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def refuse_other(documents: Mapping[str, TOMLDocument], entries: Entries) -> None:
    """Make sure that values are new or the same.

    Raises:
        ConfigurationError: If not.
    """
    for (file, *path), value in entries.items():
        old = found(documents[file], tuple(path))
        if old is not None and old != value:
            raise ConfigurationError(
                f"{'.'.join(path)} is set to something else in .dlt/{file}.toml; --replace changes it"
            )


def merge(documents: Mapping[str, TOMLDocument], entries: Entries) -> dict[str, list[str]]:
    """Put values into the files' documents; gives the names of those that are new, for each file."""
    changed: dict[str, list[str]] = {file: [] for file in FILES}
    for (file, *tables, name), value in entries.items():
        if put(documents[file], tables, name, value):
            changed[file].append(".".join((*tables, name)))
    return changed


def put(document: TOMLDocument, tables: list[str], name: str, value: str) -> bool:
    """Set one value, making the tables above it; whether it was another before."""
    import tomlkit

    table: Any = document
    for position, part in enumerate(tables):
        if not isinstance(table.get(part), Mapping):  # another form of the credentials, perhaps
            table[part] = tomlkit.table(is_super_table=position < len(tables) - 1)
        table = table[part]
    if str(table.get(name, "")) == value:
        return False
    table[name] = value
    return True


def write(
    folder: Path, documents: Mapping[str, TOMLDocument], changed: Mapping[str, list[str]]
) -> None:
    """Write the files that changed, and what keeps secrets out of git before any secret."""
    from .files import PRIVATE, PUBLIC, replace_file

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"init: {folder} cannot be made: {error.strerror}") from None
    ignore = folder / ".gitignore"
    lines = ignore.read_text("utf-8").splitlines() if ignore.exists() else []
    if missing := [line for line in IGNORED if line not in lines]:
        replace_file(ignore, "\n".join([*lines, *missing, ""]), "init")
    for file, document in documents.items():
        path = folder / f"{file}.toml"
        mode = PRIVATE if file == "secrets" else PUBLIC
        loose = mode == PRIVATE and path.exists() and path.stat().st_mode & 0o077
        if changed[file] or loose:
            replace_file(path, document.as_string(), "init", mode=mode)


def show(folder: Path, changed: Mapping[str, list[str]]) -> None:
    """What was written where."""
    for file, names in changed.items():
        what = f"wrote {', '.join(names)}" if names else "nothing to change"
        typer.echo(f"{folder / f'{file}.toml'}: {what}")


class Steps:
    """What may follow: a login and a check.

    Args:
        context: Of the command.
        destination: What to check.
        as_json: Keep what they print for one document.

    Attributes:
        results: What they printed, by command.
        code: The exit code that the last one wants.
    """

    def __init__(self, context: typer.Context, destination: str, *, as_json: bool) -> None:
        self._context, self._destination, self._as_json = context, destination, as_json
        self.results: dict[str, Any] = {}
        self.code = 0

    def log_in(self) -> bool:
        """Ask for consent and store the tokens."""
        from .login import login

        self._run(login)
        return True

    def check(self) -> bool:
        """Check all that a sync needs."""
        from .check import check

        self._run(check, destination=self._destination)
        return True

    def _run(self, command: Callable[..., None], **options: str) -> None:
        printed = io.StringIO()
        try:
            with redirect_stdout(printed) if self._as_json else nullcontext():
                command(self._context, **options, as_json=self._as_json)
        except typer.Exit as left:
            self.code = left.exit_code
        if self._as_json:
            self.results[command.__name__] = json.loads(printed.getvalue())


def reload_settings() -> None:
    """Let dlt read the settings files again: it has read them before they changed."""
    from dlt.common.configuration.container import Container
    from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext

    Container()[PluggableRunContext].reload_providers()


def wanted(flag: bool | None, question: str, *, asks: bool) -> bool:
    """The flag, else the answer, else no."""
    if flag is None and asks:
        return typer.confirm(question, default=True, err=True)
    return bool(flag)
