from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import exact_source
from exact_source.auth.masking import (
    CAPACITY,
    LOGGERS,
    SECRETS,
    SecretFilter,
    clean_text,
    install,
)


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def kept() -> Iterator[Kept]:
    handler = Kept()
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)


@pytest.mark.parametrize("name", LOGGERS)
def test_every_logger_that_tokens_pass_through_masks_them(name: str, kept: Kept) -> None:
    install()
    SECRETS.learn("very-secret-token!")
    logger = logging.getLogger(name)
    level, propagate = logger.level, logger.propagate
    logger.setLevel(logging.DEBUG)
    logger.propagate = True

    logger.debug("sent %s to %r", "very-secret-token!", {"url": "?t=very-secret-token%21"})
    try:
        int("very-secret-token!")
    except ValueError:
        logger.exception("failed")
    logger.setLevel(level)
    logger.propagate = propagate

    assert len(kept.lines) == 2
    assert "very-secret" not in "".join(kept.lines)
    assert "ValueError: invalid literal for int() with base 10: '***'" in kept.lines[1]


def test_every_logger_of_the_package_is_named() -> None:
    """A filter on a logger does not see what its children log."""
    root = Path(exact_source.__file__).parent
    loggers = set()
    for path in root.rglob("*.py"):
        name = "exact_source." + ".".join(path.relative_to(root).with_suffix("").parts)
        if "sandbox" not in path.parts:
            for said in re.findall(
                r'getLogger\((__name__|"exact_source[^"]*")\)', path.read_text()
            ):
                loggers.add(name if said == "__name__" else said.strip('"'))

    assert {"exact_source.auth.refresh", "exact_source.streams"} <= loggers
    named = {name for name in LOGGERS if name.startswith("exact_source.")}
    assert named == loggers - {"exact_source"}


def test_a_code_is_masked_while_it_is_of_use() -> None:
    secrets = SecretFilter()
    with secrets.knowing("unknown"):
        assert secrets.mask("route unknown") == "route ***"

    assert secrets.mask("route unknown") == "route unknown"


def test_a_secret_that_is_learned_otherwise_stays_masked() -> None:
    secrets = SecretFilter()
    secrets.learn("the-secret")
    with secrets.knowing("the-secret"):
        pass

    assert secrets.mask("the-secret") == "***"


def test_other_records_stay_as_they_are(kept: Kept) -> None:
    install()
    logging.getLogger("httpx").warning("%d of %s", 3, "4")

    assert kept.lines == ["3 of 4"]


def test_the_oldest_secrets_are_forgotten() -> None:
    secrets = SecretFilter()
    for number in range(CAPACITY + 10):
        secrets.learn(f"token-number-{number}")

    assert secrets.mask("token-number-0") == "token-number-0"
    assert secrets.mask(f"token-number-{CAPACITY}") == "***"


def test_a_longer_secret_is_masked_whole() -> None:
    secrets = SecretFilter()
    secrets.learn("abcdef", "abcdefghijkl")

    assert secrets.mask("abcdefghijkl") == "***"


def test_a_text_from_outside_is_one_short_line_without_secrets() -> None:
    SECRETS.learn("learned-refresh-token")
    token = "stampNL001.g" + "A1b2-_" * 100

    shown = clean_text(
        f"Denied\r\n\x1b[31mto Bearer {token}\x1b]0;title\x07\x9b2J\x00 for learned-refresh-token "
        f"\u202eor {token}\u2028 {'x ' * 500}"
    )

    assert shown.isprintable()
    assert len(shown) <= 200
    assert shown.startswith("Denied to Bearer *** for *** or ")
    assert not {"31m", "title", "2J", "A1b2", "learned"} & set(re.findall(r"\w+", shown))


@given(st.text(), st.integers(4, 30))
def test_no_text_from_outside_breaks_a_line(text: str, most: int) -> None:
    shown = clean_text(text, most)

    assert len(shown) <= most
    assert len(shown.splitlines()) <= 1
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", shown)


def test_the_names_of_fields_and_paths_of_files_stay_readable() -> None:
    text = (
        "a $filter with one of: Accountant,AccountManager,AddressLine1,AddressLine2,ChamberOfCommerce; "
        "see /home/somebody/projects/exact-online/settings.toml"
    )

    assert clean_text(text) == text
