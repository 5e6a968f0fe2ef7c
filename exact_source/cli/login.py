"""``exact-source login``, ``logout`` and ``tokens``: the connection's tokens."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import AuthenticationError, ConfigurationError, ExactError
from ..settings import without_quotes
from ._output.command_line import own_command
from ._output.logs import ask_for
from ._output.options import AsJson, BaseUrl, Region
from .consent import Yes, ask_consent

if TYPE_CHECKING:
    from ..auth import OAuth, TokenData
    from ..auth.storage.from_settings import BuiltInStorage
    from ..settings import Settings

LISTEN_S = 300.0


def login(  # noqa: PLR0913, PLR0917 (each is an option of the command)
    context: typer.Context,
    code: Annotated[
        str | None,
        typer.Option(
            metavar="CODE_OR_ADDRESS",
            help="The code, or the whole address that the browser was sent to.",
        ),
    ] = None,
    browser: Annotated[
        bool,
        typer.Option("--browser/--no-browser", help="Open the browser, or only print the address."),
    ] = True,
    listen: Annotated[
        bool | None,
        typer.Option(
            "--listen/--no-listen",
            help="Wait for the browser on this machine. Default: if the redirect URI is loopback.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force-login", help="Log in again even if the browser has a session.")
    ] = False,
    region: Region = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Log in to Exact Online and store the tokens.

    Without --code it shows where to log in, and asks for the address to which the browser is sent
    afterwards. The code in that address is valid for three minutes.

    Example: exact-source login --no-browser
    """
    import asyncio

    from ..connect import make_oauth
    from ._output.tables import print_json, print_line
    from .connect import clock_of, make_connection

    clock = clock_of(context)
    settings, storage = make_connection(region, base_url)
    oauth = make_oauth(settings, storage, clock)
    if code is not None:
        code = without_quotes(code)
        check_foreign_state(code, settings, clock.now())
        tokens = asyncio.run(oauth.exchange(code))
    else:
        tokens = ask(oauth, settings, clock.now(), browser=browser, listen=listen, force=force)
    if as_json:
        print_json({"store": storage.describe(), "expires_at": tokens.expires_at.isoformat()})
    else:
        print_line(f"logged in; tokens are in {storage.describe()}")
        print_line(f"next: {own_command()} check")


def logout(
    context: typer.Context,
    yes: Yes = False,
    region: Region = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Delete the stored tokens; a new login is then needed.

    The app stays authorised at Exact Online until the user withdraws this in the app centre.

    Example: exact-source logout --yes
    """
    from ._output.tables import print_json, print_line
    from .connect import make_connection

    del context
    _, storage = make_connection(region, base_url)
    if not yes:
        ask_consent("logout", f"Delete the tokens in {storage.describe()}?")
    had_tokens = has_tokens(storage)
    storage.delete_tokens()
    if as_json:
        print_json({"store": storage.describe(), "deleted": had_tokens})
    elif had_tokens:
        print_line(f"deleted the tokens in {storage.describe()}")
    else:
        print_line(f"no tokens are stored in {storage.describe()}")


def has_tokens(storage: BuiltInStorage) -> bool:
    """Whether there are tokens, readable or not."""
    try:
        return storage.get_tokens() is not None
    except ExactError:
        return True


def tokens(
    context: typer.Context,
    new_key: Annotated[
        bool, typer.Option("--new-key", help="Only print a new key for the setting token_key.")
    ] = False,
    region: Region = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show where the tokens are stored and how old they are.

    Example: exact-source tokens --json
    """
    from ._output.tables import (
        Column,
        local_clock,
        make_console,
        print_json,
        print_table,
        span,
    )
    from .connect import clock_of, make_connection

    if new_key:
        from ..auth import new_key as make_key

        key = make_key()
        if as_json:
            print_json({"token_key": key})
        else:
            typer.echo(key)
        return
    _, storage = make_connection(region, base_url)
    stored = storage.get_tokens()
    if stored is None:
        raise AuthenticationError(
            f"no tokens are stored in {storage.describe()}: run `exact-source login`"
        )
    facts = facts_of(stored, clock_of(context).now())
    if as_json:
        print_json({"store": storage.describe(), **facts})
        return
    left = facts["access_token_left_s"]
    issued_at = local_clock((stored.issued_at or stored.expires_at).timestamp())
    rows = [
        ("store", storage.describe()),
        ("issued", f"{issued_at}, {span(facts['age_s'])} ago"),
        ("access token", f"valid for {span(left)}" if left > 0 else "expired"),
        (
            "refresh token",
            f"expires in {span(facts['days_until_login'] * 86_400)} if it is not used",
        ),
    ]
    print_table(make_console(), (Column(""), Column("", wraps=True)), rows)


def facts_of(stored: TokenData, now: float) -> dict[str, Any]:
    """The facts about the stored tokens, without secrets."""
    from ..auth.tokens import UNUSED_LIFE_S

    age_s = stored.age_s(now)
    return {
        "issued_at": (stored.issued_at or stored.expires_at).isoformat(timespec="seconds"),
        "age_s": round(age_s),
        "expires_at": stored.expires_at.isoformat(timespec="seconds"),
        "access_token_left_s": max(0, round(stored.expires_at.timestamp() - now)),
        "refresh_due": stored.is_due(now),
        "days_until_login": round(max(0.0, UNUSED_LIFE_S - age_s) / 86400, 1),
        "login_needed_after": datetime.fromtimestamp(now + UNUSED_LIFE_S - age_s, UTC).isoformat(
            timespec="seconds"
        ),
    }


def ask(
    oauth: OAuth,
    settings: Settings,
    now: float,
    *,
    browser: bool,
    listen: bool | None,
    force: bool,
) -> TokenData:
    """Send the user to Exact Online, and wait for the code."""
    import asyncio

    from ..auth.login_state import new_state
    from ..auth.loopback import loopback_address, wait_for_redirect

    state = new_state(settings.client_secret, now)
    url = oauth.authorization_url(state, force_login=force)
    address = loopback_address(settings.redirect_uri)
    if listen and address is None:
        raise ConfigurationError(
            "--listen needs a redirect URI such as http://localhost:8080/callback, registered with "
            "the app; without it, paste the address"
        )
    ask_for(f"Log in and give consent here:\n\n  {url}\n")
    if browser and sys.stderr.isatty():
        import webbrowser

        webbrowser.open(url)
    if address is not None and listen is not False:
        ask_for(f"Waiting for the browser on {settings.redirect_uri} ...")
        answer = wait_for_redirect(address, state, LISTEN_S)
        return asyncio.run(oauth.exchange(answer, state=state))
    return exchange_pasted(oauth, state)


def exchange_pasted(oauth: OAuth, state: str) -> TokenData:
    """Exchange the code that is pasted; at a terminal ask again if Exact Online refuses it."""
    import asyncio

    while True:
        answer = ask_for_code(state)
        try:
            return asyncio.run(oauth.exchange(answer, state=state))
        except AuthenticationError as error:
            if not sys.stdin.isatty():
                raise
            ask_for(f"{error}, or open the address above once more.")


def ask_for_code(state: str) -> str:
    """Ask for the address or the code until the answer contains a code.

    Raises:
        ConfigurationError: If the input ends before; the message says how to go on without a terminal.
        AuthenticationError: If the address reports an error, or belongs to another login.
    """
    from ..auth.oauth import parse_redirect

    ask_for("Afterwards the browser shows an address with code=... in it.")
    while True:
        ask_for("Paste that address, or the code: ", end="" if sys.stdin.isatty() else "\n")
        line = sys.stdin.readline()  # click's prompt would write to stdout
        try:
            parse_redirect(without_quotes(line), state)
        except ConfigurationError as error:
            if not line:
                raise ConfigurationError(
                    "login: the input ended before an address was pasted; log in at the address above, "
                    "then run `exact-source login --code 'ADDRESS'` within 3 minutes, with the address "
                    "that the browser shows"
                ) from None
            ask_for(f"{error}.")
        else:
            return without_quotes(line)


def check_foreign_state(code: str, settings: Settings, now: float) -> None:
    """Refuse an address whose ``state`` is not from a recent login with this app.

    Raises:
        AuthenticationError: If it is not.
    """
    from ..auth.login_state import is_own_state
    from ..auth.oauth import redirect_query

    state = redirect_query(code).get("state")
    if state is not None and not is_own_state(state, settings.client_secret, now):
        raise AuthenticationError(
            "the address does not contain the state of a login of the last 15 minutes: start again "
            "with `exact-source login`"
        )
