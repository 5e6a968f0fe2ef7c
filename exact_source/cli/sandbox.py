"""``exact-source sandbox``: the local Exact Online in the foreground."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import ConfigurationError
from ..extras import install_command
from ._output.options import AsJson
from ._output.start import SIGN

LANGUAGES = ("en", "nl")
DEMANDS = ("never", "seen", "everywhere")
ORDERS = ("Timestamp", "key")
AWKWARD = "awkward"


def sandbox(  # noqa: PLR0913, PLR0917 (options of a command)
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="PORT", help="Port on loopback; 0: a free one.")
    ] = 8080,
    companies: Annotated[
        str,
        typer.Option(
            metavar="N|awkward",
            help="Number of companies; awkward: a fixed set with difficult books.",
        ),
    ] = "2",
    invoices: Annotated[
        int, typer.Option(min=0, metavar="N", help="Sales invoices per company.")
    ] = 50,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed makes the same data.")] = 1,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND:CHANCE",
            help="A failure and its probability (default 1), such as 429:0.01; may be repeated.",
        ),
    ] = None,
    latency: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Time that each reply takes.")
    ] = 0.0,
    minute_limit: Annotated[
        int, typer.Option(min=1, metavar="N", help="Calls a minute for each company.")
    ] = 60,
    daily_limit: Annotated[
        int, typer.Option(min=1, metavar="N", help="Calls a day for each company.")
    ] = 5000,
    require_select: Annotated[
        str,
        typer.Option(metavar="never|seen|everywhere", help="Which calls must carry $select."),
    ] = "seen",
    require_filter: Annotated[
        str,
        typer.Option(metavar="never|seen|everywhere", help="Which calls must carry $filter."),
    ] = "never",
    strict: Annotated[
        bool, typer.Option("--strict", help="Require $select and $filter everywhere.")
    ] = False,
    sync_order: Annotated[
        str, typer.Option(metavar="Timestamp|key", help="Order of the rows of sync feeds.")
    ] = "Timestamp",
    errors_everywhere: Annotated[
        bool,
        typer.Option(
            help="Count errors of the token endpoint and of calls without a company, too."
        ),
    ] = True,
    language: Annotated[
        str, typer.Option(metavar="en|nl", help="Language of the error messages.")
    ] = "en",
    deviate: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A deliberate deviation, which verify detects; may be repeated.",
        ),
    ] = None,
    replay: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Serve the replies that sync --record or verify --record kept."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a local Exact Online, to try commands and to test programs.

    It refuses what Exact Online is known to refuse, and runs until Ctrl-C.

    Example: exact-source sandbox --port 8080 --companies 3 --invoices 10000 --fault 429:0.01
    """
    try:
        from ..sandbox.command import run
        from ..sandbox.deviations import check_deviations
    except ImportError as error:
        raise ConfigurationError(
            f"the sandbox needs {error.name}; install it with: {install_command('sandbox')}"
        ) from None
    try:
        deviations = check_deviations(deviate or [])
    except ValueError as error:
        raise ConfigurationError(f"--deviate: {error}") from None
    if replay is not None:
        _check_recording(replay)
    _check_choice("--language", language, LANGUAGES)
    _check_choice("--require-select", require_select, DEMANDS)
    _check_choice("--require-filter", require_filter, DEMANDS)
    _check_choice("--sync-order", sync_order, ORDERS)
    if companies != AWKWARD and not (companies.isdecimal() and int(companies)):
        raise ConfigurationError(
            f"--companies is {companies!r}; use a number from 1 on or {AWKWARD}"
        )
    SIGN.erase()
    try:
        run(
            port,
            fault or [],
            as_json=as_json,
            companies=companies,
            invoices=invoices,
            seed=seed,
            latency=latency,
            require_select=require_select,
            require_filter=require_filter,
            strict=strict,
            sync_order=sync_order,
            errors_everywhere=errors_everywhere,
            language=language,
            minute_limit=minute_limit,
            daily_limit=daily_limit,
            deviations=deviations,
            replay=replay,
        )
    except ValueError as error:
        raise ConfigurationError(f"--fault: {error}") from None
    except OSError as error:
        raise ConfigurationError(f"--port {port}: {error.strerror}; choose another") from None


def _check_recording(folder: Path) -> None:
    from ..sandbox.replay import Replay

    try:
        Replay(folder)
    except ValueError as error:
        raise ConfigurationError(f"--replay: {error}") from None


def _check_choice(option: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        words = f"{', '.join(choices[:-1])} or {choices[-1]}"
        raise ConfigurationError(f"{option} is {value!r}; use {words}")
