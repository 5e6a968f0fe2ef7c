"""Taking a single guard out of the sandbox makes one of its tests fail."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.mutants import outer_environment

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.proofs, pytest.mark.timeout(900)]
RIGHTS, DATA, ROWS = "http/user_rights.py", "http/data.py", "http/rows.py"
QUERY, OAUTH, PAGING = "odata/query.py", "rules/oauth.py", "odata/paging.py"
# File, what stands there once, what it is broken into, and the file of tests that notices.
MUTANTS = [
    (RIGHTS, "if not feeds or action not in ACTIONS", "if not feeds", "limits"),
    (RIGHTS, "if not feeds or action not in ACTIONS", "if action not in ACTIONS", "limits"),
    (RIGHTS, "name == endpoint.name and", "name.lower() == endpoint.name.lower() and", "limits"),
    (RIGHTS, 'endpoint.service.rpartition("/")[2]', "endpoint.service", "limits"),
    (RIGHTS, "service.lower() ==", "service ==", "limits"),
    (RIGHTS, "return not any(", "return not all(", "limits"),
    (DATA, 'frozenset({"users/UserHasRights"})', "frozenset()", "limits"),
    (DATA, "self._state.errors.check()", "pass", "limits"),
    (DATA, "if len(str(url)) > LONGEST_URL", "if False", "query wire limits"),
    (DATA, "elif not any(name in accept for name in ACCEPTED)", "elif False", "wire query"),
    (DATA, 'if is_text and "json" in accept and "*/*" not in accept', "if False", "paging"),
    (DATA, 'if scheme.lower() != "bearer"', "if False", "oauth"),
    (DATA, "if division not in self._state.divisions", "if False", "limits"),
    (DATA, 'if company.get("BlockingStatus")', "if False", "changes limits"),
    (
        DATA,
        "return self._state.rights.check(division, self._target.path)",
        "return False",
        "changes",
    ),
    (
        DATA,
        "endpoint is None or endpoint.no_division != (",
        "endpoint is None or False != (False and ",
        "limits",
    ),
    (DATA, "> self._state.settings.response_limit", "> 10**12", "limits"),
    (ROWS, "if row is None or self._hidden", "if row is None", "changes"),
    (ROWS, 'frozenset({"salesinvoice/SalesInvoices"})', "frozenset()", "paging shapes"),
    (ROWS, 'frozenset({"item_extra_field"})', "frozenset()", "paging query wire"),
    (ROWS, "query.top > size or", "False or", "paging"),
    (ROWS, "None if query.top is None else query.top - size", "query.top", "paging"),
    (ROWS, "return 0 if self._hidden else found", "return found", "changes"),
    (
        PAGING,
        'if endpoint.kind == "sync" and top is not None and top > size else top',
        "if False else top",
        "paging",
    ),
    (
        PAGING,
        "len(rows) == size and (query.top is None or query.top > size)",
        "len(rows) == size",
        "paging",
    ),
    (PAGING, "if len(literals) != len(type_codes)", "if False", "query"),
    (
        QUERY,
        "and (name in options or name not in SYSTEM_OPTIONS)",
        "and name not in SYSTEM_OPTIONS",
        "query",
    ),
    (
        QUERY,
        "and (name in options or name not in SYSTEM_OPTIONS)",
        "and name in options",
        "query wire limits",
    ),
    (
        QUERY,
        'if endpoint.kind == "function" and FORGOTTEN_DOLLAR & options.keys()',
        "if False",
        "query wire",
    ),
    (
        QUERY,
        'if "$skip" in options and endpoint.kind in {"bulk", "sync"}',
        "if False",
        "query paging",
    ),
    (QUERY, "if selection.nested.keys() - set(expand)", "if False", "query paging wire"),
    (
        QUERY,
        "if endpoint.filterable is not None and not found.fields <= endpoint.filterable",
        "if False",
        "query",
    ),
    (QUERY, "if endpoint.parameters:  # API 8.2", "if False:  # API 8.2", "query wire"),
    (QUERY, 'and options.get("$top") == "1"', "and False", "query paging"),
    (QUERY, "if has_star and endpoint.no_star", "if False", "query"),
    (QUERY, 'if direction not in ([], ["asc"], ["desc"])', "if False", "query paging"),
    (QUERY, "if not text.strip().isdecimal()", "if False", "query paging"),
    (QUERY, 'if value not in {"none", "allpages"}', "if False", "query paging"),
    (QUERY, "elif required and endpoint.entity != ITEM_EXTRA_FIELD", "elif False", "query wire"),
    (
        "rules/demands.py",
        'if endpoint.kind == "bulk":\n        return True',
        'if endpoint.kind == "bulk":\n        return False',
        "query strict",
    ),
    ("rules/demands.py", "or endpoint.path in SELECT_SEEN", "or False", "query strict wire"),
    ("rules/demands.py", "or not endpoint.has_sync_sibling", "or True", "query strict"),
    (OAUTH, 'if query.get("client_id") != self.client_id', "if False", "oauth"),
    (OAUTH, 'if query.get("redirect_uri") != self.redirect_uri', "if False", "oauth"),
    (OAUTH, 'if "grant_type" not in form', "if False", "oauth"),
    (OAUTH, 'or form.get("client_secret") != self.client_secret', "or False", "oauth"),
    (
        OAUTH,
        "if connection is None or connection.revoked:\n            raise RefusedError",
        "if connection is None:\n            raise RefusedError",
        "oauth",
    ),
    (OAUTH, "if code is None or code.used", "if code is None", "oauth"),
    (OAUTH, 'if form.get("redirect_uri") != code.redirect_uri', "if False", "oauth"),
    (OAUTH, "if self._clock.now() > code.issued_at + CODE_LIFE_S", "if False", "oauth"),
    (OAUTH, "if self.grace and not connection.successor_used", "if self.grace", "oauth"),
    (OAUTH, "if now > connection.issued_at + REFRESH_LIFE_S", "if False", "oauth"),
    (
        OAUTH,
        "if now < self._last_token_at[connection.user] + self.earliest_refresh_s",
        "if False",
        "oauth",
    ),
    ("http/token_calls.py", "!= FORM_TYPE", '== "never"', "oauth"),
    ("rules/limits.py", "if minute >= self.minute_limit", "if False", "limits"),
    ("rules/limits.py", "if day >= self.daily_limit", "if False", "limits"),
    ("rules/limits.py", "or (division is None and not self.everywhere)", "", "limits oauth"),
    ("rules/limits.py", "self.blocked_until = now + HOUR_S\n            raise", "raise", "limits"),
    ("http/writes.py", "if method not in", "if False and method not in", "webhooks wire limits"),
    ("http/writes.py", 'if any(row["Topic"] == topic for row in rows)', "if False", "webhooks"),
    (
        "http/writes.py",
        "if topic not in ALL_TOPICS or not is_safe",
        "if topic not in ALL_TOPICS",
        "webhooks",
    ),
    (
        "data/derived.py",
        "return  # lines without an entry are in no feed",
        "header = {}",
        "derived",
    ),
    (
        "data/catalogue.py",
        "return self._spellings.get((service.lower(), name), path)",
        "return path",
        "wire query limits",
    ),
]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code and its tests, to be broken."""
    folder = tmp_path_factory.mktemp("copy")
    ignore = shutil.ignore_patterns("__pycache__", ".cache", ".environments")
    for name in ("exact_source", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


@pytest.mark.parametrize(("file", "old", "new", "names"), MUTANTS, ids=range(len(MUTANTS)))
def test_a_guard_that_is_missing_is_noticed(
    copy: Path, tmp_path: Path, file: str, old: str, new: str, names: str
) -> None:
    path = copy / "exact_source" / "sandbox" / file
    whole = path.read_text("utf-8")
    assert whole.count(old) == 1, f"{file} has {old!r} {whole.count(old)} times"
    tests = [f"tests/sandbox/test_sandbox_{name}.py" for name in names.split()]
    # In its own folder, because runs of pytest that clean the common one at the same time fail.
    options = ["-q", "-x", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'inner'}"]
    command = [sys.executable, "-m", "pytest", *options, *tests]
    environ = outer_environment() | {"PYTHONDONTWRITEBYTECODE": "1"}
    try:
        path.write_text(whole.replace(old, new), "utf-8")
        done = subprocess.run(
            command, cwd=copy, env=environ, capture_output=True, text=True, check=False
        )
    finally:
        path.write_text(whole, "utf-8")
    assert done.returncode == 1, done.stdout[-1000:] + done.stderr[-1000:]
    assert " failed" in done.stdout
