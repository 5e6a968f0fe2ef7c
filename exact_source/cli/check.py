"""``exact-source check``: everything a sync needs, one line each, and what to do about failures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..errors import (
    AuthenticationError,
    ConfigurationError,
    ExactError,
    LimitError,
    RefusedError,
)
from .logs import notes
from .options import (
    AsJson,
    BaseUrl,
    Dataset,
    Destination,
    Divisions,
    Entities,
    PipelineName,
    Region,
)
from .output import local_clock

if TYPE_CHECKING:
    import dlt

    from ..asking import AskingRun
    from ..auth import TokenData
    from ..auth.choice import BuiltInStorage
    from ..clock import Clock
    from ..entities import Entity
    from ..settings import Settings
    from ..streams.run import Division

State = Literal["ok", "warning", "failed", "skipped"]
STYLES = {"ok": "green", "warning": "yellow", "failed": "red", "skipped": "dim"}
EXIT_FAILED, EXIT_USAGE, EXIT_INCOMPLETE = 1, 2, 3
DAY_S = 86_400.0
SOON_S = 7 * DAY_S
LOGIN = AuthenticationError.code
PROBE = "_exact_check"


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        check: What was looked at.
        state: How it is.
        found: What was seen.
        remedy: What to do; empty if nothing.
        configuration: Whether a setting is at fault.
        code: Of an error, as on the page of errors; empty if there is none.
        resumes_at: When calls are allowed again, seconds since the epoch, UTC.
    """

    check: str
    state: State
    found: str
    remedy: str = ""
    configuration: bool = False
    code: str = ""
    resumes_at: float | None = None


@dataclass
class Findings:
    """All findings, in the order of the checks."""

    all: list[Finding] = field(default_factory=list)

    def add(self, check: str, state: State, found: str, remedy: str = "", code: str = "") -> None:
        """Note how a check ended."""
        self.all.append(Finding(check, state, found, remedy, code=code))

    def fail(self, check: str, error: ExactError) -> None:
        """Note an error; its message says what to do behind a semicolon or colon."""
        found, _, remedy = str(error).partition("; ")
        resumes_at = None
        if isinstance(error, LimitError):
            resumes_at = error.resumes_at
            remedy = remedy or f"check again after {local_clock(resumes_at)}"
        wrong = isinstance(error, ConfigurationError)
        self.all.append(Finding(check, "failed", found, remedy, wrong, error.code, resumes_at))

    @property
    def failed(self) -> list[Finding]:
        """What a sync cannot run without."""
        return [f for f in self.all if f.state == "failed"]

    @property
    def exit_code(self) -> int:
        """0 if nothing failed, 2 if a setting is at fault, 3 if only calls are lacking, else 1."""
        if any(f.configuration for f in self.failed):
            return EXIT_USAGE
        if self.failed and all(f.resumes_at is not None for f in self.failed):
            return EXIT_INCOMPLETE
        return EXIT_FAILED if self.failed else 0


def check(  # noqa: PLR0913, PLR0917 (options of a command)
    context: typer.Context,
    destination: Destination = "",
    dataset: Dataset = "exact_online",
    divisions: Divisions = "all",
    entities: Entities = None,
    all_divisions: Annotated[
        bool,
        typer.Option(
            "--all-divisions", help="Ask for the rights in every division, not in the first only."
        ),
    ] = False,
    region: Region = None,
    base_url: BaseUrl = None,
    pipeline_name: PipelineName = "exact_online",
    as_json: AsJson = False,
) -> None:
    """Check settings, tokens, connection, divisions, rights and destination; nothing is loaded.

    No endpoint is tried out: refusals would count toward Exact's error limit. Ends with 0 if a sync
    can run, 1 if something failed, 2 if a setting is missing or wrong, 3 if only the day's calls are
    used up.

    Example: exact-source check --destination postgres --entities accounts,transaction_lines
    """
    import asyncio

    from ..source import choose_entities, parse_divisions
    from .display import asking

    findings = Findings()
    names: list[str] = []
    codes: tuple[int, ...] = ()
    try:
        from ..entities import load_catalogue

        names = choose_entities(entities, load_catalogue())
        codes = parse_divisions(divisions)
    except ConfigurationError as error:
        findings.fail("options", error)
    pipeline = check_pipeline(findings, destination, dataset, pipeline_name)
    clock = _clock(context)
    run = check_connection(findings, region, base_url, pipeline, clock)
    if run is not None:
        with asking(run):
            asyncio.run(check_exact(findings, run, names, codes, all_divisions=all_divisions))
    if pipeline is not None:
        check_destination(findings, pipeline)
    _show(findings, as_json=as_json)
    if findings.exit_code:
        say_first(findings)
        raise typer.Exit(findings.exit_code)


def say_first(findings: Findings) -> None:
    """One line about what is to be put right first."""
    chosen = [f for f in findings.failed if f.configuration] or findings.failed
    first, more = chosen[0], len(findings.failed) - 1
    text = f"{first.check}: {first.found}" + (f"; {first.remedy}" if first.remedy else "")
    facts = {"code": first.code, "exit_code": findings.exit_code, "failed": len(findings.failed)}
    also = f" (and {more} more, see above)" if more else ""
    notes.error("error: %s%s", text, also, extra={"facts": facts})


def _clock(context: typer.Context) -> Clock:
    from .connect import clock_of

    return clock_of(context)


def _show(findings: Findings, *, as_json: bool) -> None:
    from .output import make_console, make_table, print_json, styled

    if as_json:
        checks = [asdict(f) for f in findings.all]
        print_json({"checks": checks, "exit_code": findings.exit_code})
        return
    rows = [
        [styled(f.state, STYLES[f.state]), f.check, f.found + (f"; {f.remedy}" if f.remedy else "")]
        for f in findings.all
    ]
    make_console().print(make_table(("", "", ""), rows))


# -- what is on this machine -------------------------------------------------------------------


def check_pipeline(
    findings: Findings, destination: str, dataset: str, name: str
) -> dlt.Pipeline | None:
    """The pipeline; ``None`` if the options name none."""
    from .connect import make_pipeline

    try:
        return make_pipeline(destination, dataset, name)
    except ConfigurationError as error:
        findings.fail("destination", error)
        return None


def check_connection(
    findings: Findings,
    region: str | None,
    base_url: str | None,
    pipeline: dlt.Pipeline | None,
    clock: Clock,
) -> AskingRun | None:
    """A run to ask Exact Online with; ``None`` if settings or tokens do not allow it."""
    from ..asking import make_asking_run
    from ..auth import storage_from_settings
    from ..source import make_options

    settings = check_settings(findings, region, base_url)
    if settings is None:
        findings.add("tokens", "skipped", "not looked at before the settings are complete")
        return None
    try:
        storage = storage_from_settings(settings, pipeline)
    except ConfigurationError as error:
        findings.fail("tokens", error)
        return None
    if not check_tokens(findings, storage, clock):
        findings.add("connection", "skipped", "not tried without tokens")
        return None
    # The list is asked through the user's current division, so that a chosen one may be blocked.
    return make_asking_run(make_options(), settings, storage, clock)


def check_settings(findings: Findings, region: str | None, base_url: str | None) -> Settings | None:
    """The settings; ``None`` if one is missing or wrong, after each of them was named."""
    from ..settings import SECTION, load_settings

    errors = list(_setting_errors(region, base_url))
    for error in errors:
        findings.fail("settings", error)
    if errors:
        return None
    settings = load_settings(region=region, base_url=base_url)
    findings.add("settings", "ok", f"client id and secret for {settings.base_url}")
    if not settings.redirect_uri:
        findings.add(
            "settings",
            "warning",
            f"{SECTION}.redirect_uri is not set",
            "it is needed to log in again; set it exactly as registered with the app",
        )
    return settings


def _setting_errors(region: str | None, base_url: str | None) -> Iterator[ConfigurationError]:
    """One error for each setting that is missing or wrong."""
    from ..settings import load_settings

    given = {"region": region, "base_url": base_url}
    stand_ins = {"client_id": "x", "client_secret": "x", "base_url": "https://localhost"}
    for looked_at in ("base_url", "client_id", "client_secret"):
        others = {name: text for name, text in stand_ins.items() if name != looked_at}
        try:
            load_settings(**(given | others))
        except ConfigurationError as error:
            yield error


def check_tokens(findings: Findings, storage: BuiltInStorage, clock: Clock) -> bool:
    """Whether there are tokens that may still work."""
    import asyncio

    from .output import span

    try:
        tokens = asyncio.run(read_tokens(storage))
    except ExactError as error:
        findings.fail("tokens", error)
        return False
    where = storage.describe()
    if tokens is None:
        findings.add("tokens", "failed", f"none in {where}", "run `exact-source login`", LOGIN)
        return False
    age_s, left_s = token_age(tokens, clock.now())
    found = f"refreshed {span(age_s)} ago, in {where}"
    if left_s <= 0:
        findings.add(
            "tokens",
            "failed",
            f"{found}: unused for over 30 days, so they have expired",
            "run `exact-source login`",
            LOGIN,
        )
        return False
    found += f"; good for {span(left_s)} without a sync"
    remedy = "sync soon: tokens expire unused after 30 days" if left_s < SOON_S else ""
    findings.add("tokens", "warning" if remedy else "ok", found, remedy)
    return True


async def read_tokens(storage: BuiltInStorage) -> TokenData | None:
    """The stored pair, read while nobody rotates it."""
    import asyncio

    from ..auth.storage import Vault

    async with Vault(storage).locked(asyncio.get_running_loop()) as vault:
        return await vault.get()


def token_age(tokens: TokenData, now: float) -> tuple[float, float]:
    """Seconds since the pair came, and until it expires if nobody uses it (API 1.2)."""
    from ..auth.tokens import UNUSED_LIFE_S

    age_s = max(0.0, tokens.age_s(now))
    return age_s, UNUSED_LIFE_S - age_s


# -- Exact Online ------------------------------------------------------------------------------


async def check_exact(
    findings: Findings,
    run: AskingRun,
    entities: list[str],
    codes: tuple[int, ...],
    *,
    all_divisions: bool,
) -> None:
    """Connection, divisions, rights."""
    async with run.asking():
        if not await check_me(findings, run):
            findings.add("divisions", "skipped", "not asked without a connection")
            return
        found = await check_divisions(findings, run, codes)
        if not found:
            return
        asked = found if all_divisions else found[:1]
        await check_rights(findings, run, entities, [d.code for d in asked])
        if len(asked) < len(found):
            findings.add(
                "rights",
                "skipped",
                f"{len(found) - len(asked)} more division(s) were not asked",
                "--all-divisions asks them too",
            )


async def check_me(findings: Findings, run: AskingRun) -> bool:
    """Whether Exact Online answers; ``current/Me`` counts on no limit (API 2.1)."""
    from ..api.client import Target
    from ..api.listing import read_all
    from ..entities import load_catalogue
    from ..pages.page import PageSchema

    entity = load_catalogue().entities["me"]
    fields = ["UserID", "FullName", "CurrentDivision", "UserName"]
    schema = PageSchema(entity, entity.feeds["regular"], fields)
    try:
        table = await read_all(run.client, Target(None, "current/Me", "me"), schema)
    except ExactError as error:
        findings.fail("connection", error)
        return False
    user: dict[str, object] = next(iter(table.to_pylist()), {})
    name = user.get("full_name") or user.get("user_name") or "an unnamed user"
    findings.add("connection", "ok", f"{run.client.base_url} as {name}")
    return True


async def check_divisions(
    findings: Findings, run: AskingRun, codes: tuple[int, ...]
) -> list[Division]:
    """The divisions that can be read, of all or of those that were chosen."""
    from .divisions import status_text

    wanted = await seen_divisions(findings, run, codes)
    found = [d for d in wanted if not d.blocked]
    for division in wanted:
        if division.blocked:
            findings.add(
                "divisions",
                "warning" if found else "failed",
                f"{division.code} {division.name} is {status_text(division.blocked)}",
                "a sync leaves it out until Exact opens it",
            )
    if found:
        findings.add("divisions", "ok", f"{len(found)} open: {_some([d.code for d in found])}")
    return found


async def seen_divisions(
    findings: Findings, run: AskingRun, codes: tuple[int, ...]
) -> list[Division]:
    """The divisions that exist, of all or of those that were chosen."""
    from ..streams.run import Division

    try:
        visible = {d.code: d for d in await run.divisions()}
    except RefusedError as error:
        if not codes:
            findings.fail("divisions", error)
            return []
        findings.add(
            "divisions",
            "warning",
            "the list cannot be read through the user's current division",
            "the chosen ones are taken as they are",
        )
        return [Division(code) for code in codes]
    except ExactError as error:
        findings.fail("divisions", error)
        return []
    if missing := [code for code in codes if code not in visible]:
        wrong = ConfigurationError(
            f"--divisions: {_some(missing)} cannot be seen by this app and user; "
            "see `exact-source divisions`"
        )
        findings.fail("divisions", wrong)
    return [visible[code] for code in codes or visible if code in visible]


async def check_rights(
    findings: Findings, run: AskingRun, names: list[str], divisions: list[int]
) -> None:
    """Ask ``UserHasRights`` for each entity; Exact does not bill it (API 2.1, 5)."""
    from ..entities import load_catalogue
    from ..entities.parameters import reason_not_read

    catalogue = load_catalogue()
    for name in names:
        entity = catalogue.entities[name]
        if name == "me" or reason_not_read(entity) is not None:
            continue
        try:
            await _check_right(findings, run, entity, divisions)
        except LimitError as error:
            again = f"ask again after {local_clock(error.resumes_at)}"
            findings.add("rights", "warning", f"{error}", again)
            return
        except RefusedError as error:
            findings.add(
                "rights",
                "warning",
                f"rights cannot be asked: {error}",
                "a sync tells what may not be read",
            )
            return
        except ExactError as error:
            findings.fail("rights", error)
            return


async def _check_right(
    findings: Findings, run: AskingRun, entity: Entity, divisions: list[int]
) -> None:
    from ..protocol.feeds import plan_feeds

    plan = plan_feeds(entity, run.options.route)
    paths = {feed.path for feed in (plan.full, plan.increment) if feed is not None}
    without = [
        code
        for code in divisions
        if not all([await run.has_rights(code, path) for path in sorted(paths)])
    ]
    where = f"division {divisions[0]}" if len(divisions) == 1 else f"{len(divisions)} divisions"
    if not without:
        findings.add("rights", "ok", f"{entity.name} in {where}")
        return
    scope = f" (scope {entity.scope})" if entity.scope else ""
    module = f", see that the company has the module ({entity.module})" if entity.module else ""
    findings.add(
        "rights",
        "failed",
        f"{entity.name} may not be read in {_some(without)}",
        f"give the user the role or the app the scope{scope}{module}, or leave it out with --entities",
        RefusedError.code,
    )


def _some(codes: list[int]) -> str:
    shown = ", ".join(map(str, codes[:10]))
    return shown if len(codes) <= 10 else f"{shown} and {len(codes) - 10} more"  # noqa: PLR2004


# -- the destination ---------------------------------------------------------------------------


def check_destination(findings: Findings, pipeline: dlt.Pipeline) -> None:
    """Whether tables can be made and filled; what the check made is gone afterwards."""
    from .stored_syncs import database_file, reaching

    name = pipeline.destination.destination_name
    try:
        file = database_file(pipeline)
        is_new = file is not None and not file.exists()
        with reaching(pipeline):
            write_probe(pipeline)
        if is_new and file is not None:
            file.unlink(missing_ok=True)
    except ExactError as error:
        findings.fail("destination", error)
        return
    place = name if file is None else f"{name} file {file}"
    findings.add("destination", "ok", f"{place}, dataset {pipeline.dataset_name}: can be written")


def write_probe(pipeline: dlt.Pipeline) -> None:
    """Make a table, write a row, and remove what was made."""
    from ..destination.stored import Stored

    stored = Stored(pipeline)
    try:
        stored.check()
    finally:
        stored.close()
    with pipeline.sql_client() as client:
        existed = client.has_dataset()
        if not existed:
            client.create_dataset()
        table = client.make_qualified_table_name(PROBE)
        try:
            client.execute_sql(f"DROP TABLE IF EXISTS {table}")
            client.execute_sql(f"CREATE TABLE {table} (n BIGINT)")
            client.execute_sql(f"INSERT INTO {table} VALUES (1)")
            client.execute_sql(f"DROP TABLE {table}")
        finally:
            if not existed:
                client.drop_dataset()
