"""``exact-source sandbox``: the local Exact Online in the foreground."""

from __future__ import annotations

from typing import Annotated

import typer

from ..errors import ConfigurationError
from ._output.options import AsJson

LANGUAGES = ("en", "nl")


def sandbox(  # noqa: PLR0913, PLR0917 (options of a command)
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on loopback; 0 takes a free one.")
    ] = 8080,
    companies: Annotated[int, typer.Option(min=1, help="How many companies.")] = 2,
    invoices: Annotated[int, typer.Option(min=0, help="Sales invoices per company.")] = 50,
    seed: Annotated[int, typer.Option(help="The same seed makes the same data.")] = 1,
    fault: Annotated[
        list[str] | None,
        typer.Option(help="A failure and its probability, such as 429:0.01; may be repeated."),
    ] = None,
    latency: Annotated[float, typer.Option(min=0, help="Seconds that each answer takes.")] = 0.0,
    minute_limit: Annotated[int, typer.Option(min=1, help="Calls a minute and company.")] = 60,
    daily_limit: Annotated[int, typer.Option(min=1, help="Calls a day and company.")] = 5000,
    lenient: Annotated[
        bool, typer.Option("--lenient", help="Do not insist on $select and $filter.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Insist on $filter wherever there is a sync sibling.")
    ] = False,
    language: Annotated[
        str, typer.Option(metavar="en|nl", help="Language of the user, for errors.")
    ] = "en",
    as_json: AsJson = False,
) -> None:
    """A local Exact Online on loopback that refuses what Exact is known to refuse, to try and to test.

    Example: exact-source sandbox --port 8080 --companies 3 --invoices 10000 --fault 429:0.01
    """
    try:
        from ..sandbox.command import run
    except ImportError as error:
        raise ConfigurationError(
            f"the sandbox needs {error.name}; install it with: pip install 'exact-source[sandbox]'"
        ) from None
    if language not in LANGUAGES:
        raise ConfigurationError(f"--language is {language!r}; use {' or '.join(LANGUAGES)}")
    if lenient and strict:
        raise ConfigurationError("--lenient and --strict exclude each other; leave one of them out")
    try:
        run(
            port,
            fault or [],
            as_json=as_json,
            companies=companies,
            invoices=invoices,
            seed=seed,
            latency=latency,
            lenient=lenient,
            strict=strict,
            language=language,
            minute_limit=minute_limit,
            daily_limit=daily_limit,
        )
    except ValueError as error:
        raise ConfigurationError(f"--fault: {error}") from None
    except OSError as error:
        raise ConfigurationError(f"--port {port}: {error.strerror}; choose another") from None
