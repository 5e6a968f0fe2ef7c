"""``exact-source sandbox`` refuses what it cannot do; that it serves is in test_sandbox_server."""

from __future__ import annotations

import pytest

from exact_source.cli.app import run

WRONG = [
    (["--port=99999"], "--port"),
    (["--port=-1"], "--port"),
    (["--companies=0"], "--companies"),
    (["--fault=429:5"], "probability is a number from 0 to 1, not 5.0"),
    (["--fault=429:-0.1"], "probability is a number from 0 to 1"),
    (["--fault=429:nan"], "probability is a number from 0 to 1"),
    (["--fault=slow=-1"], "seconds is a number from 0"),
    (["--fault=sunshine"], "no fault is called 'sunshine'"),
    (["--language=fr"], "--language is 'fr'; use en or nl"),
    (["--require-select=no"], "--require-select"),
    (["--require-filter=no"], "--require-filter"),
    (["--sync-order=ID"], "--sync-order"),
]


@pytest.mark.parametrize(("arguments", "text"), WRONG, ids=[" ".join(a) for a, _ in WRONG])
def test_a_wrong_option_gets_one_line(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["sandbox", *arguments])

    said = capsys.readouterr()
    assert (code, said.out) == (2, "")
    assert len(said.err.strip().splitlines()) == 1
    assert text in said.err
