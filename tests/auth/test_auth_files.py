"""Token files that are not as they should be: a clear error, and nothing is overwritten."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import gettempdir
from types import FrameType

import pytest

from exact_source.auth import FileTokenStorage, SqlTokenStorage
from exact_source.errors import TokenStoreError
from tests.support.auth_kit import KEY, ROOT, BuiltIn, Exact, exact_online, tokens

as_another_user = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "tokens.json"
    FileTokenStorage(path).save_tokens(tokens())
    return path


@pytest.fixture
def exact(tmp_path: Path) -> Iterator[Exact]:
    with exact_online(tmp_path / "exact") as exact:
        yield exact


def snapshot(path: Path) -> tuple[bytes, int, int]:
    status = path.stat()
    return path.read_bytes(), status.st_mtime_ns, status.st_ino


DAMAGE = {
    "empty": b"",
    "blank": b"  \n",
    "cut off": b'{"access_token": "aaaa", "refresh_to',
    "no json": b"hello",
    "binary": bytes(range(256)),
    "another document": b'{"hello": 1}',
    "a list": b"[1, 2]",
    "no refresh token": b'{"access_token": "aaaa", "expires_at": "2026-05-01T12:00:00+00:00"}',
    "a naive time": (
        b'{"access_token": "aaaa", "refresh_token": "r", "expires_at": "2026-05-01T12:00:00"}'
    ),
    "damaged cipher text": b'{"fernet": "gAAAAABn"}',
}


@pytest.mark.parametrize("content", DAMAGE.values(), ids=DAMAGE.keys())
@pytest.mark.parametrize("key", [None, KEY])
def test_a_damaged_file_is_named_and_left_alone(
    content: bytes, key: str | None, path: Path, exact: Exact
) -> None:
    path.write_bytes(content)
    before = snapshot(path)
    oauth = exact.oauth(FileTokenStorage(path, key=key))

    with pytest.raises(TokenStoreError) as reading:
        asyncio.run(oauth.access_token())
    with pytest.raises(TokenStoreError) as login:
        asyncio.run(oauth.exchange(exact.box.login()["code"]))

    for caught in (reading, login):
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
        assert "aaaa" not in str(caught.value)
    assert snapshot(path) == before
    assert exact.box.token_requests == []  # the code was not spent either
    assert [p.name for p in path.parent.glob(".*.new")] == []


def test_an_encrypted_file_without_a_key_is_an_error(path: Path) -> None:
    FileTokenStorage(path, key=KEY).save_tokens(tokens())
    before = snapshot(path)

    with pytest.raises(TokenStoreError, match=r"is encrypted, but .*token_key is not set"):
        FileTokenStorage(path).get_tokens()

    assert snapshot(path) == before


def test_a_plain_file_is_read_with_a_key_and_then_encrypted(path: Path) -> None:
    storage = FileTokenStorage(path, key=KEY)
    assert storage.get_tokens() == tokens()

    storage.save_tokens(tokens(2))

    assert b"aaaa" not in path.read_bytes()
    assert storage.get_tokens() == tokens(2)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o666])
def test_a_plain_file_open_to_everyone_is_refused(mode: int, path: Path) -> None:
    path.chmod(mode)

    with pytest.raises(TokenStoreError, match=rf"mode {mode:o}.*chmod 600 {path}"):
        FileTokenStorage(path).get_tokens()


def test_a_plain_file_open_to_everyone_is_refused_with_a_key_too(path: Path) -> None:
    path.chmod(0o644)

    with pytest.raises(TokenStoreError, match=rf"run chmod 600 {path}$"):
        FileTokenStorage(path, key=KEY).get_tokens()


def test_a_plain_file_open_to_its_group_is_warned_about_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.chmod(0o640)
    storage = FileTokenStorage(path)
    with caplog.at_level(logging.WARNING):
        assert storage.get_tokens() == storage.get_tokens() == tokens()

    assert [record.message for record in caplog.records] == [
        f"token file {path} can be read by its group (mode 640)"
    ]


def test_an_encrypted_file_may_be_open_to_everyone(path: Path) -> None:
    storage = FileTokenStorage(path, key=KEY)
    storage.save_tokens(tokens())
    path.chmod(0o644)

    assert storage.get_tokens() == tokens()


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_the_file_is_private_whatever_the_umask(umask: int, tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "tokens.json"
    before = os.umask(umask)
    try:
        storage = FileTokenStorage(path)
        with storage.lock():
            storage.save_tokens(tokens())
    finally:
        os.umask(before)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700 & ~umask
    assert {stat.S_IMODE(p.stat().st_mode) for p in path.parent.iterdir()} == {0o600}


def test_a_file_open_to_everyone_is_private_after_the_next_save(path: Path) -> None:
    path.chmod(0o666)
    FileTokenStorage(path).save_tokens(tokens(2))

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("what", ["file", "journal"])
def test_a_pair_is_on_the_disk_before_its_name_and_the_name_before_it_is_used(
    what: str, tmp_path: Path
) -> None:
    """No test can cut the power, but the order of the system calls can be watched."""
    if what == "file":
        storage: BuiltIn = FileTokenStorage(tmp_path / "tokens.json")
    else:
        storage = SqlTokenStorage(f"sqlite:///{tmp_path}/t.db", key=KEY, journal=tmp_path / "j")
    storage.save_tokens(tokens(1))
    watched = {os.fsync: "fsync", os.replace: "replace"}
    calls: list[str] = []

    def watch(_: FrameType, event: str, function: object) -> None:
        if event == "c_call" and function in watched:
            calls.append(watched[function])

    sys.setprofile(watch)
    try:
        storage.save_tokens(tokens(2))
    finally:
        sys.setprofile(None)

    assert calls == ["fsync", "replace", "fsync"]


def test_a_link_is_followed_and_stays_a_link(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "elsewhere" / "link.json"
    link.parent.mkdir()
    link.symlink_to(path)

    FileTokenStorage(link).save_tokens(tokens(2))

    assert link.is_symlink()
    assert FileTokenStorage(path).get_tokens() == tokens(2)


def test_drafts_of_crashed_writers_are_removed_by_the_next_refresh(path: Path) -> None:
    draft = path.with_name(f".{path.name}.1-1.new")
    draft.write_text("secret")
    storage = FileTokenStorage(path)
    with storage.lock():
        storage.check_writable()

    assert not draft.exists()
    assert storage.get_tokens() == tokens()


@as_another_user
@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_place_that_may_not_be_touched_is_named(what: str, path: Path, exact: Exact) -> None:
    """A refresh finds out before it spends the token: another user sends no request."""
    FileTokenStorage(path).save_tokens(exact.new_tokens())
    exact.clock.advance(575)
    for folder in path.parents:
        if folder.is_relative_to(gettempdir()) and folder != Path(gettempdir()):
            folder.chmod(0o755)
    if what == "folder":
        os.chown(path, 65534, 65534)
    before = snapshot(path)
    program = (
        "import os, asyncio, json\n"
        "from tests.support.auth_kit import *\n"
        f"c = Connection.from_json({exact.connection().to_json()!r})\n"
        "warm_up(c)  # the other user may not be able to read the modules\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "try: asyncio.run(c.oauth("
        f"FileTokenStorage({str(path)!r})).access_token())\n"
        "except ExactError as error: print(type(error).__name__, error)\n"
    )

    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT
    )

    assert result.stdout.startswith("TokenStoreError"), result.stderr
    assert str(path.parent) in result.stdout
    assert "Permission denied" in result.stdout
    assert snapshot(path) == before
    assert exact.box.token_requests == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "none", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        pytest.skip(f"no small disk can be mounted here: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_found_out_before_the_token_is_spent(exact: Exact, small_disk: Path) -> None:
    path = small_disk / "tokens.json"
    storage = FileTokenStorage(path)
    storage.save_tokens(exact.new_tokens())
    exact.clock.advance(575)
    with storage.lock():
        pass  # the lock file exists
    with (small_disk / "other").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 4096):
            pass
    before = snapshot(path)

    with pytest.raises(TokenStoreError, match="cannot be written: No space left on device"):
        asyncio.run(exact.oauth(storage).access_token())

    assert exact.box.token_requests == []
    assert snapshot(path) == before
    (small_disk / "other").unlink()
    assert exact.is_good(asyncio.run(exact.oauth(storage).access_token()))
