"""The questions: read-only calls on one company, each of which serves as many checks as possible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..catalogue import load_catalogue
from ..odata.drift import services_of
from ..odata.query import format_datetime
from .answers import Answers
from .asking import ME, Question, rights_question
from .checks import UnmeasuredError

ACCOUNTS, SYNC_ACCOUNTS, BULK_ACCOUNTS = "crm/Accounts", "sync/CRM/Accounts", "bulk/CRM/Accounts"
LINES, BULK_LINES = "financialtransaction/TransactionLines", "bulk/Financial/TransactionLines"
SYNC_LINES, DELETED = "sync/Financial/TransactionLines", "sync/Deleted"
GL_ACCOUNTS, SYNC_GL_ACCOUNTS = "financial/GLAccounts", "sync/Financial/GLAccounts"
BULK_GL_ACCOUNTS = "bulk/Financial/GLAccounts"
SYNC_TIMESTAMP = "read/sync/Sync/SyncTimestamp"
# A row for each journal and period: even a small company has more than a page of them.
WHOLE_LIST = "read/financial/JournalStatusList"
SELECTED_ACCOUNT = ("ID", "Code", "Country", "Created", "Modified", "Division")
SELECTED_LINE = ("ID", "AmountDC", "Date", "Modified", "Division")
SINCE_1 = "Timestamp gt 1L"
BEYOND = 10**12  # added to the highest known row version
SAMPLE = 12  # number of keys to look up in another feed, limited by the length of a URL
YEAR_MS = 366 * 86_400_000


def _select(*fields: str) -> Mapping[str, str]:
    return {"$select": ",".join(fields)}


def _from_newest(answers: Answers) -> Mapping[str, str]:
    """The accounts modified at or after the newest one, by the digits in its reply."""
    newest = max(answers["newest"].digits("Modified"))
    text = f"Modified ge {format_datetime(newest)}"
    return {**_select("ID", "Modified"), "$filter": text}


def _after_newest(answers: Answers) -> Mapping[str, str]:
    newest = max(answers["newest"].digits("Modified"))
    text = f"Modified ge {format_datetime(newest + 1000)}"
    return {**_select("ID", "Modified"), "$filter": text}


def _after_version(answers: Answers) -> Mapping[str, str]:
    """The accounts above a version in the middle of a page."""
    versions = sorted(map(int, answers["sync_accounts"].some("Timestamp")))
    text = f"Timestamp gt {versions[len(versions) // 2]}L"
    return {**_select("ID", "Timestamp"), "$filter": text}


def _after_all_versions(answers: Answers) -> Mapping[str, str]:
    highest = max(map(int, answers["sync_accounts"].some("Timestamp")))
    return {**_select("ID", "Timestamp"), "$filter": f"Timestamp gt {highest + BEYOND}L"}


def _some_keys(answers: Answers) -> Mapping[str, str]:
    """The accounts with some of the keys of the sync feed."""
    keys = answers["sync_accounts"].some("ID")
    chosen = keys[:: max(1, len(keys) // SAMPLE)][:SAMPLE]
    text = " or ".join(f"ID eq guid'{key}'" for key in chosen)
    return {**_select("ID"), "$filter": text}


def _from_start(_answers: Answers) -> Mapping[str, str]:
    return _start_version(0)


def _from_next_year(answers: Answers) -> Mapping[str, str]:
    """The start version for a date one year ahead, for which there are no rows."""
    now = answers["me"].server_time
    return _start_version(int(now * 1000) + YEAR_MS)


def _start_version(ms: int) -> Mapping[str, str]:
    fields = load_catalogue().entities["sync_timestamp"].columns
    return {
        "modified": format_datetime(ms),
        "endPoint": "'TransactionLines'",
        **_select(*fields),
    }


def _other_rights(answers: Answers) -> Mapping[str, str]:
    if b"true" in answers["rights"].body.lower():
        raise UnmeasuredError("there was no need to ask")
    return {"endpoint": f"'{ACCOUNTS}'", "action": "'GET'"}


def _metadata() -> list[Question]:
    catalogue = load_catalogue()
    services = services_of(catalogue.entities[name] for name in catalogue.core)
    return [Question(f"metadata {s}", s, tail="$metadata") for s in services]


def questions() -> Sequence[Question]:
    """All questions in order: those that certainly work first, those that may be refused last."""
    first, *others = _metadata()
    counted = {**_select("ID"), "$top": "1", "$inlinecount": "allpages"}
    return [
        Question("me", ME),
        rights_question("rights", ACCOUNTS),
        Question("rights by path", "users/UserHasRights", _other_rights),
        rights_question("rights of ledger", GL_ACCOUNTS),
        Question(
            "newest",
            ACCOUNTS,
            {**_select(*SELECTED_ACCOUNT), "$orderby": "Modified desc", "$top": "1"},
            any_row=True,
        ),
        Question("page", ACCOUNTS, _select(*SELECTED_ACCOUNT), any_row=True),
        first,
        Question("metadata all", "", tail="$metadata", unless=first.name),
        *others,
        Question("sync_accounts", SYNC_ACCOUNTS, _sync("ID", "Division")),
        Question("bulk_accounts", BULK_ACCOUNTS, _select("ID"), any_row=True),
        Question("sync_lines", SYNC_LINES, _sync("ID", "Division", "Date")),
        Question("sync_lines_2", SYNC_LINES, follows="sync_lines"),
        Question("bulk_lines", BULK_LINES, _select(*SELECTED_LINE), any_row=True),
        Question("bulk_lines_2", BULK_LINES, follows="bulk_lines"),
        Question("lines", LINES, _select(*SELECTED_LINE), any_row=True),
        Question("lines_2", LINES, follows="lines"),
        Question("sync_gl", SYNC_GL_ACCOUNTS, _sync("ID")),
        Question("bulk_gl", BULK_GL_ACCOUNTS, _select("ID"), any_row=True),
        Question("deleted", DELETED, _sync("ID", "EntityKey", "EntityType", "Division")),
        Question("count", ACCOUNTS, counted, any_row=True),
        Question("count_gl", GL_ACCOUNTS, counted, any_row=True),
        Question("after version", SYNC_ACCOUNTS, _after_version),
        Question("after all versions", SYNC_ACCOUNTS, _after_all_versions),
        Question("some keys", ACCOUNTS, _some_keys),
        Question("whole list", WHOLE_LIST),
        # Each question from here on may be refused.
        Question("from newest", ACCOUNTS, _from_newest),
        Question("after newest", ACCOUNTS, _after_newest),
        Question("modified", ACCOUNTS, {**counted, "$filter": _since_1900("Modified")}),
        Question(
            "bulk modified", BULK_ACCOUNTS, {**_select("ID"), "$filter": _since_1900("Modified")}
        ),
        Question("not null", ACCOUNTS, {**counted, "$filter": "ID ne guid'" + NO_GUID + "'"}),
        Question("sync top", SYNC_ACCOUNTS, {**_sync("ID"), "$top": "1"}),
        Question("from 0", SYNC_ACCOUNTS, {**_select("ID"), "$filter": "Timestamp gt 0L"}),
        Question("start version", SYNC_TIMESTAMP, _from_start),
        Question("no start version", SYNC_TIMESTAMP, _from_next_year),
        Question("count path", ACCOUNTS, any_row=True, tail="$count"),
        Question("no select", ACCOUNTS, {"$top": "2"}, any_row=True),
        Question("no filter", ACCOUNTS, {**_select("ID"), "$top": "2"}),
    ]


NO_GUID = "00000000-0000-0000-0000-000000000000"


def _sync(*fields: str) -> Mapping[str, str]:
    return {**_select(*fields, "Timestamp"), "$filter": SINCE_1}


def _since_1900(field: str) -> str:
    return f"{field} ge datetime'1900-01-01T00:00:00'"
