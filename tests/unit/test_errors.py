"""Which of several errors is reported, and what a line about one may hold."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from exact_source.cli._output.exit import report
from exact_source.errors import (
    ConfigurationError,
    RefusedError,
    RemoteError,
    is_interrupt,
    own_error,
    root_cause,
)


def caught(work: Callable[[], object]) -> BaseException:
    with pytest.raises(BaseException) as found:  # noqa: PT011
        work()
    return found.value


def fail(error: BaseException) -> None:
    raise error


def wrapped_twice() -> None:
    """As dlt does it."""
    try:
        fail(OSError(28, "No space left on device"))
    except OSError as error:
        inner = RuntimeError("extraction")
        inner.__cause__ = error
        raise ValueError("step") from inner


def while_another_is_handled() -> None:
    try:
        fail(RefusedError("accounts: refused", status=400))
    except RefusedError:
        raise MemoryError("out of memory")  # noqa: B904


def instead_of_another() -> None:
    try:
        fail(KeyError("cache"))
    except KeyError:
        raise MemoryError("out of memory") from None


def in_a_group() -> None:
    async def fail() -> None:
        raise MemoryError("out of memory")

    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())

    asyncio.run(both())


@pytest.mark.parametrize(
    ("work", "kind"),
    [
        (wrapped_twice, OSError),
        (while_another_is_handled, MemoryError),
        (instead_of_another, MemoryError),
        (in_a_group, MemoryError),
    ],
)
def test_the_error_that_happened_is_the_one_that_is_reported(
    work: Callable[[], object], kind: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    error = caught(work)

    assert type(root_cause(error)) is kind
    assert own_error(error) is None
    assert report(error) == 1
    assert kind.__name__ in caplog.text


def test_ours_is_found_in_what_others_wrapped_it_in() -> None:
    ours = ConfigurationError("a setting is wrong")

    def wrap() -> None:
        try:
            fail(ours)
        except ConfigurationError as error:
            raise RuntimeError("wrapped") from error

    assert own_error(caught(wrap)) is ours
    assert own_error(BaseExceptionGroup("several", [ValueError("other"), ours])) is ours


def test_an_interrupt_is_one_also_where_something_else_failed_on_the_way_out() -> None:
    def fail_while_stopping() -> None:
        try:
            fail(KeyboardInterrupt())
        finally:
            raise RemoteError("a connection that was being closed")

    assert is_interrupt(caught(fail_while_stopping))
