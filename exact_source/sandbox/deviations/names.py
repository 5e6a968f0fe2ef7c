"""The names of the deviations, and how the sandbox then differs."""

from __future__ import annotations

from collections.abc import Iterable

DEVIATIONS = {
    # Clocks and dates.
    "server-time-in-utc": "Me.ServerTime has the digits of UTC",
    "offset-in-minutes": "Me.ServerUtcOffset counts minutes",
    "rows-ahead": "Created and Modified are two hours later than the server's clock",
    "filter-in-utc": "dates in $filter are read as UTC",
    "dates-as-instants": "dates without a time are midnight of the local zone",
    "iso-dates": "dates in JSON are ISO texts",
    "no-date-header": "answers have no Date header",
    # Limits.
    "no-day-headers": "no headers of the daily limit",
    "no-minute-headers": "no headers of the minute's limit",
    "other-limits": "300 calls a minute, by the headers",
    "contract-headers": "headers of a limit of the contract",
    "reset-in-seconds": "resets are seconds",
    "local-day": "the day ends at midnight of the local zone",
    "sliding-minute": "the minute ends 37 seconds after the whole minute",
    "double-cost": "each call is counted twice",
    "rights-are-counted": "questions after rights are counted",
    "me-is-counted": "current/Me has limit headers",
    "odata-3": "the header DataServiceVersion is 3.0",
    # Pages and links.
    "small-pages": "a page of a regular feed holds 50 rows",
    "small-bulk-pages": "a page of a bulk feed holds 500 rows",
    "small-sync-pages": "a page of a sync feed holds 500 rows",
    "bare-lists": "regular lists are bare, without a next link",
    "empty-is-null": "a list without rows is null",
    "relative-links": "next links are relative",
    "links-without-query": "next links drop $filter",
    "overlapping-pages": "a page begins with the last row of the one before",
    "paged-reads": "lists of read/ are paged, with 5 rows on a page",
    # Queries.
    "no-modified-filter": "regular feeds refuse a filter on Modified",
    "no-bulk-modified-filter": "bulk feeds refuse a filter on Modified",
    "no-key-filter": "a filter `ID ne` is refused",
    "orderby-ignored": "$orderby has no effect",
    "top-ignored": "$top has no effect",
    "sync-top-ignored": "$top has no effect on sync feeds",
    "select-ignored": "$select has no effect",
    "no-inline-count": "$inlinecount has no effect",
    "count-as-number": "__count is a number",
    "no-count-path": "/$count is refused",
    "select-everywhere": "every list demands $select",
    "filter-everywhere": "every endpoint with a sync feed demands $filter",
    # Sync feeds.
    "version-as-number": "Timestamp is a number",
    "shared-versions": "two rows of a page have the same Timestamp",
    "sync-by-key": "sync feeds are sorted by key",
    "sync-token-without-l": "$skiptoken of a sync feed is a row version without L",
    "version-inclusive": "Timestamp gt includes the version itself",
    "no-version-zero": "Timestamp gt 0 is refused",
    "no-start-version": "SyncTimestamp is refused",
    "start-version-always": "SyncTimestamp names the last version where no row follows",
    "new-deleted-code": "sync/Deleted has a code that nobody knows",
    "deleted-without-key": "sync/Deleted does not name the deleted row",
    # Values.
    "codes-unpadded": "codes of accounts have no blanks on the left",
    "texts-unpadded": "short texts have no blanks on the right",
    "capital-guids": "guids have capital letters",
    "amounts-as-texts": "amounts are texts",
    "other-division": "a row of each page is of another company",
    # Rights.
    "rights-by-path": "UserHasRights understands crm/Accounts, not CRM/Accounts",
    "rights-as-numbers": "UserHasRights answers with 1 or 0",
    "no-rights-question": "UserHasRights is not there",
    # $metadata.
    "one-metadata": "one $metadata for all services, none for each",
    "endpoint-withdrawn": "crm/AddressStates does not exist",
    "field-withdrawn": "financial/Journals has no field BankAccountBICCode",
    "new-field": "crm/Accounts has a field that is new",
    "other-type": "EntryNumber of financialtransaction/TransactionLines is a text",
    # Feeds that are taken for the same rows.
    "bulk-misses-rows": "the bulk feed of accounts lacks some rows",
    "sync-adds-gl-rows": "the sync feed of G/L accounts has more rows",
    "sync-has-other-keys": "the sync feed of accounts has keys of its own",
}


def check_deviations(names: Iterable[str]) -> set[str]:
    """The deviations with these names.

    Raises:
        ValueError: If a name is unknown.
    """
    found = set(names)
    if unknown := sorted(found - DEVIATIONS.keys()):
        raise ValueError(f"no deviation is called {unknown[0]!r}; use {', '.join(DEVIATIONS)}")
    return found
