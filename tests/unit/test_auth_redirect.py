from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exact_source.auth import parse_redirect
from exact_source.auth.login_state import is_own_state, new_state
from exact_source.auth.loopback import loopback_address
from exact_source.errors import AuthenticationError, ConfigurationError

CODE = "stampNL001.x-_y!IAAAAB+/z=="
codes = st.text("abcXYZ0189!-._+/", min_size=1, max_size=60).filter(
    lambda code: not code.isdecimal()
)


@pytest.mark.parametrize(
    "pasted",
    [
        CODE,
        f"  {CODE}\n",
        quote(CODE, safe=""),
        f"https://app.example/callback?code={quote(CODE, safe='')}",
        f"https://app.example/callback?state=s&code={CODE}",
        f"/callback?code={quote(CODE, safe='')}&state=s",
        f"?code={CODE}",
        f"code={CODE}&state=s",
    ],
)
def test_the_code_is_found_in_whatever_is_pasted(pasted: str) -> None:
    assert parse_redirect(pasted) == CODE


@given(codes)
def test_a_code_comes_back_from_an_address(code: str) -> None:
    assert parse_redirect(f"https://x/cb?code={quote(code, safe='')}&state=s", "s") == code
    assert parse_redirect(quote(code, safe="")) == code


@pytest.mark.parametrize(
    "pasted", ["", "  ", "123456", "https://app.example/", "two words", "https://x/?code="]
)
def test_what_holds_no_code_is_refused(pasted: str) -> None:
    with pytest.raises(ConfigurationError, match="authorization code"):
        parse_redirect(pasted)


@pytest.mark.parametrize("query", ["code=abc", "code=abc&state="])
def test_an_address_without_a_state_is_called_incomplete(query: str) -> None:
    with pytest.raises(AuthenticationError, match="not complete"):
        parse_redirect(f"https://x/cb?{query}", "mine")


@pytest.mark.parametrize("query", ["code=abc&state=other", "code=abc&state=\u00e9"])
def test_another_state_is_refused(query: str) -> None:
    with pytest.raises(AuthenticationError, match="state"):
        parse_redirect(f"https://x/cb?{query}", "mine")


def test_a_refusal_of_consent_is_reported() -> None:
    with pytest.raises(AuthenticationError, match="access_denied"):
        parse_redirect("https://x/cb?error=access_denied&state=mine", "mine")


def test_a_state_is_recognised_for_fifteen_minutes_by_its_own_app() -> None:
    state = new_state("secret", 1000.0)

    assert is_own_state(state, "secret", 1000.0 + 890)
    assert not is_own_state(state, "secret", 1000.0 + 910)
    assert not is_own_state(state, "other secret", 1000.0)
    assert not is_own_state(state[:-1] + ("0" if state[-1] != "0" else "1"), "secret", 1000.0)
    assert state != new_state("secret", 1000.0)


@given(st.text())
def test_no_text_is_taken_for_a_state_or_breaks_the_check(text: str) -> None:
    assert not is_own_state(text, "secret", 1000.0)


@pytest.mark.parametrize(
    ("redirect_uri", "address"),
    [
        ("http://localhost:8080/callback", ("127.0.0.1", 8080, "/callback")),
        ("http://127.0.0.1", ("127.0.0.1", 80, "/")),
        ("http://[::1]:8080/callback", ("::1", 8080, "/callback")),
        ("https://localhost:8080/callback", None),
        ("https://app.example/callback", None),
    ],
)
def test_a_redirect_to_this_machine_is_waited_for_where_it_leads(
    redirect_uri: str, address: tuple[str, int, str] | None
) -> None:
    assert loopback_address(redirect_uri) == address
