"""The protocol of token storages, and an adapter for plain and async ones."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import threading
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

from ...atomic_file import LOCK_WAIT_S, POLL_S
from ...errors import ConfigurationError, TokenStoreError
from ..tokens import TokenData
from .refusal import Refusal, RefusalFile

logger = logging.getLogger(__name__)

T = TypeVar("T")


@runtime_checkable
class TokenStorage(Protocol):
    """Persistent storage of the tokens of one connection.

    Both methods may be plain or async. A storage may also have

    * ``lock()``: a context manager, plain or async, that excludes all other users of the tokens from before
      ``get_tokens`` until after ``save_tokens``. Without it, only one process may use the connection.
    * ``check_writable()``: raises if the next ``save_tokens`` would fail (full disk, read-only folder). It
      is called before a refresh token is used up.
    * ``refusal_file``: path of a file on this machine in which the refused refresh token is noted. Without
      it, each process sends a refused token once.
    """

    def get_tokens(self) -> TokenData | Awaitable[TokenData | None] | None:
        """The newest tokens; ``None`` before the first login."""
        ...

    def save_tokens(self, tokens: TokenData) -> Awaitable[None] | None:
        """Replace the tokens; they must survive a crash once this returns."""
        ...


class StorageAdapter:
    """Gives a plain or async storage one async interface with a lock.

    Args:
        storage: The user's storage.

    Attributes:
        is_plain: Whether nothing in the storage is async, so that a thread can use it.
    """

    def __init__(self, storage: TokenStorage) -> None:
        for name in ("get_tokens", "save_tokens"):
            if not callable(getattr(storage, name, None)):
                raise ConfigurationError(
                    f"token_storage has no method {name}(): see exact_source.TokenStorage"
                )
        self._storage = storage
        self.is_plain = not _is_async(storage)
        self._mutex = _process_lock(storage)
        self._warned = False

    @asynccontextmanager
    async def locked(self, home: asyncio.AbstractEventLoop | None) -> AsyncIterator[LockedStorage]:
        """Hold the storage's lock, if it has one.

        Args:
            home: The caller's event loop, if a different loop is running that may be blocked. Awaitables
                from plain methods are awaited in the caller's loop.

        Raises:
            TokenStoreError: If the lock cannot be taken.
        """
        self._warn_once()
        self._mutex = _process_lock(self._storage)
        async with AsyncExitStack() as stack:
            call = stack.enter_context(_Caller(home))
            await _acquire(self._mutex, may_block=home is not None)
            stack.callback(self._mutex.release)
            if hasattr(self._storage, "lock"):
                await stack.enter_async_context(_held(self._storage.lock, call))
            yield LockedStorage(self._storage, call)

    def _warn_once(self) -> None:
        if not self._warned and not hasattr(self._storage, "lock"):
            self._warned = True
            logger.warning(
                "%s has no lock(): tokens are guarded within this process only; a second process "
                "or host that uses the same tokens will break the connection",
                type(self._storage).__name__,
            )


class LockedStorage:
    """The storage while its lock is held."""

    def __init__(self, storage: TokenStorage, call: _Caller) -> None:
        self._storage = storage
        self._call = call
        path: Path | None = getattr(storage, "refusal_file", None)
        self._refusals = RefusalFile(path) if path is not None else None

    async def get(self) -> TokenData | None:
        """The stored tokens."""
        tokens = await self._call(self._storage.get_tokens)
        if tokens is not None and not isinstance(tokens, TokenData):
            raise ConfigurationError(
                f"{type(self._storage).__name__}.get_tokens() returned a "
                f"{type(tokens).__name__}; it must return TokenData or None"
            )
        return tokens

    async def save(self, tokens: TokenData) -> None:
        """Store the tokens durably, and clear the note of a refusal."""
        await self._call(self._storage.save_tokens, tokens)
        if self._refusals is not None:
            self._refusals.clear()

    def refusal_of(self, tokens: TokenData) -> Refusal | None:
        """The note that Exact Online refused this refresh token; ``None`` if there is none."""
        refusal = self._refusals.read() if self._refusals is not None else None
        return refusal if refusal and refusal.fingerprint == tokens.fingerprint else None

    def note_refusal(self, refusal: Refusal) -> None:
        """Note a refusal for other processes and later runs."""
        if self._refusals is not None:
            self._refusals.write(refusal)

    async def check_writable(self) -> None:
        """Raise if ``save`` would fail, as far as the storage can tell."""
        check = getattr(self._storage, "check_writable", None)
        if check is not None:
            await self._call(check)


class _Caller:
    """Calls plain and async functions in the same way.

    Plain functions run inline if nothing else uses the event loop. Otherwise they run in one thread: they
    must not block the loop, and some locks must be released by the thread that took them.
    """

    def __init__(self, home: asyncio.AbstractEventLoop | None) -> None:
        self._home = home
        self._executor = None if home else ThreadPoolExecutor(1, "exact-tokens")

    def __enter__(self) -> _Caller:
        return self

    def __exit__(self, *_: object) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=False)

    async def __call__(self, function: Callable[..., Any], *args: Any) -> Any:
        if self._executor is None:
            result = function(*args)
        else:
            loop = asyncio.get_running_loop()
            result = await loop.run_in_executor(self._executor, function, *args)
        if not inspect.isawaitable(result):
            return result
        if self._home is None or not self._home.is_running():
            return await result
        job = asyncio.run_coroutine_threadsafe(_awaited(result), self._home)
        try:
            return await asyncio.wrap_future(job)
        except asyncio.CancelledError:  # only the end of that loop cancels it
            raise RuntimeError("the event loop of the caller ended") from None


async def _awaited(result: Awaitable[T]) -> T:
    return await result


@asynccontextmanager
async def _held(lock: Callable[[], Any], call: _Caller) -> AsyncIterator[None]:
    context = await call(lock)
    if hasattr(context, "__aenter__"):
        async with cast("AbstractAsyncContextManager[Any]", context):
            yield
        return
    await call(context.__enter__)
    try:
        yield
    except BaseException as error:
        if not await call(context.__exit__, type(error), error, error.__traceback__):
            raise
    else:
        await call(context.__exit__, None, None, None)


def _is_async(storage: TokenStorage) -> bool:
    names = ("get_tokens", "save_tokens", "check_writable", "lock")
    if any(inspect.iscoroutinefunction(getattr(storage, name, None)) for name in names):
        return True
    if not hasattr(storage, "lock"):
        return False
    context = storage.lock()
    if inspect.iscoroutine(context):
        context.close()  # otherwise Python warns that it was never awaited
    return inspect.isawaitable(context) or hasattr(context, "__aenter__")


async def _acquire(mutex: threading.Lock, *, may_block: bool) -> None:
    if may_block:
        acquired = mutex.acquire(timeout=LOCK_WAIT_S)
    else:
        # The holder may be in another event loop, and a waiting thread cannot be cancelled.
        give_up_at = time.monotonic() + LOCK_WAIT_S
        while not (acquired := mutex.acquire(blocking=False)):
            if time.monotonic() >= give_up_at:
                break
            await asyncio.sleep(POLL_S)
    if not acquired:
        raise TokenStoreError(
            f"the token lock was not released by another thread within {LOCK_WAIT_S:.0f} s"
        )


# One lock per storage object, shared by all OAuth objects that use it and deleted with the last of them. The
# process id is part of the key, so that after a fork the child does not wait for a thread of the parent.
_process_locks: weakref.WeakValueDictionary[tuple[int, int], threading.Lock] = (
    weakref.WeakValueDictionary()
)
_process_locks_guard = threading.Lock()


def _process_lock(storage: TokenStorage) -> threading.Lock:
    with _process_locks_guard:
        return _process_locks.setdefault((os.getpid(), id(storage)), threading.Lock())
