from __future__ import annotations

from base64 import b64encode
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from exact_source.sandbox import Sandbox
from tests.support.sandbox_kit import Caller, new_box


@pytest.fixture
def box() -> Sandbox:
    return new_box()


@pytest.fixture
def caller(box: Sandbox) -> Caller:
    return Caller(box)


def exchange(
    caller: Caller, code: str, redirect_uri: str | None = None
) -> tuple[int, dict[str, str]]:
    answer = caller.token_request(
        grant_type="authorization_code",
        code=code,
        redirect_uri=redirect_uri or caller.box.redirect_uri,
    )
    return answer.status_code, answer.json()


def refresh(caller: Caller, token: str) -> tuple[int, dict[str, str]]:
    answer = caller.token_request(grant_type="refresh_token", refresh_token=token)
    return answer.status_code, answer.json()


def test_authorize_sends_the_browser_back_with_an_encoded_code_and_the_state(
    box: Sandbox, caller: Caller
) -> None:
    query = {
        "client_id": box.client_id,
        "redirect_uri": box.redirect_uri,
        "response_type": "code",
        "state": "a b&c",
        "force_login": "1",
    }
    answer = caller.send("GET", f"/api/oauth2/auth?{urlencode(query)}")
    assert answer.status_code == 302
    location = answer.headers["location"]
    assert location.startswith(f"{box.redirect_uri}?")
    assert "%21" in location
    found = parse_qs(urlsplit(location).query)
    assert found["state"] == ["a b&c"]
    assert "!" in found["code"][0]
    assert exchange(caller, found["code"][0])[0] == 200


@pytest.mark.parametrize("wrong", [{"redirect_uri": "https://evil.test/"}, {"client_id": "x"}])
def test_authorize_never_redirects_for_an_app_that_is_not_registered(
    box: Sandbox, caller: Caller, wrong: dict[str, str]
) -> None:
    query = {
        "client_id": box.client_id,
        "redirect_uri": box.redirect_uri,
        "response_type": "code",
    } | wrong
    answer = caller.send("GET", f"/api/oauth2/auth?{urlencode(query)}")
    assert answer.status_code == 400
    assert "location" not in answer.headers


def test_token_reply_has_a_text_for_expires_in_and_a_long_access_token(
    box: Sandbox, caller: Caller
) -> None:
    status, body = exchange(caller, box.login()["code"])
    assert status == 200
    assert body["expires_in"] == "600"
    assert body["token_type"] == "bearer"
    assert 650 <= len(body["access_token"]) <= 750


def test_code_works_once(box: Sandbox, caller: Caller) -> None:
    code = box.login()["code"]
    assert exchange(caller, code)[0] == 200
    status, body = exchange(caller, code)
    assert (status, body["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize(("age", "status"), [(180, 200), (181, 400)])
def test_code_lives_three_minutes(box: Sandbox, caller: Caller, age: int, status: int) -> None:
    code = box.login()["code"]
    box.clock.advance(age)
    assert exchange(caller, code)[0] == status


def test_redirect_uri_of_the_exchange_has_to_match(box: Sandbox, caller: Caller) -> None:
    assert exchange(caller, box.login()["code"], "https://other.test/")[0] == 400


def test_refresh_rotates_and_the_old_token_is_refused(box: Sandbox, caller: Caller) -> None:
    first = box.issue_tokens()
    box.clock.advance(570)
    status, second = refresh(caller, first["refresh_token"])
    assert status == 200
    assert second["refresh_token"] != first["refresh_token"]
    box.clock.advance(570)
    assert refresh(caller, first["refresh_token"]) == (
        401,
        {"error": "unauthorized_client", "error_description": "Old refresh token used."},
    )
    assert refresh(caller, second["refresh_token"])[0] == 200


@pytest.mark.parametrize(("early_status", "age"), [(400, 569.9), (401, 0)])
def test_refresh_before_570_seconds_is_refused(
    box: Sandbox, caller: Caller, early_status: int, age: float
) -> None:
    tokens = box.issue_tokens()
    box.state.oauth.early_status = early_status
    box.clock.advance(age)
    answer = caller.token_request(grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    text = "Rate limit exceeded: access_token not expired"
    assert answer.status_code == early_status
    assert answer.json() == {"error": "access_denied", "error_description": text}
    assert answer.headers["Reason"] == f"TooEarlyToRefreshTokens: {text}"


def test_refresh_token_dies_after_thirty_days_without_use(box: Sandbox, caller: Caller) -> None:
    tokens = box.issue_tokens()
    box.clock.advance(30 * 86400 + 1)
    status, body = refresh(caller, tokens["refresh_token"])
    assert (status, body["error"]) == (400, "invalid_request")
    assert body["error_description"].startswith("The refresh token expired at ")
    assert " and it is now " in body["error_description"]


def test_unknown_token_is_a_bad_chain(caller: Caller) -> None:
    status, body = refresh(caller, "nonsense")
    assert (status, body["error"]) == (400, "invalid_grant")
    assert "chainId" in body["error_description"]


def test_wrong_client_is_refused(box: Sandbox, caller: Caller) -> None:
    tokens = box.issue_tokens()
    answer = caller.token_request(
        grant_type="refresh_token", refresh_token=tokens["refresh_token"], client_secret="wrong"
    )
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_client")


def test_client_may_name_itself_in_the_header(box: Sandbox, caller: Caller) -> None:
    tokens = box.issue_tokens()
    box.clock.advance(580)
    pair = b64encode(f"{box.client_id}:{box.client_secret}".encode()).decode()
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    header = {"Authorization": f"Basic {pair}"}
    assert caller.send("POST", "/api/oauth2/token", header, form).status_code == 200
    assert (
        caller.send("POST", "/api/oauth2/token", {"Authorization": "Basic ?"}, form).status_code
        == 400
    )


@pytest.mark.parametrize("media_type", ["application/json", "text/plain", None])
def test_a_form_under_another_media_type_is_not_read(
    box: Sandbox, caller: Caller, media_type: str | None
) -> None:
    form = {
        "grant_type": "authorization_code",
        "code": box.login()["code"],
        "client_id": box.client_id,
        "client_secret": box.client_secret,
        "redirect_uri": box.redirect_uri,
    }
    headers = {} if media_type is None else {"Content-Type": media_type}
    sent = caller.send("POST", "/api/oauth2/token", headers, content=urlencode(form))
    assert (sent.status_code, sent.json()["error"]) == (400, "invalid_request")
    assert exchange(caller, form["code"])[0] == 200


def test_logins_have_chains_of_their_own(box: Sandbox, caller: Caller) -> None:
    first, second = box.issue_tokens("sanne"), box.issue_tokens("joost")
    box.clock.advance(570)
    assert refresh(caller, first["refresh_token"])[0] == 200
    assert refresh(caller, second["refresh_token"])[0] == 200


def test_two_logins_of_one_user_share_the_570_seconds(box: Sandbox, caller: Caller) -> None:
    first, second = box.issue_tokens(), box.issue_tokens()
    box.clock.advance(570)
    assert refresh(caller, first["refresh_token"])[0] == 200
    assert refresh(caller, second["refresh_token"])[1]["error"] == "access_denied"
    box.clock.advance(570)
    assert refresh(caller, second["refresh_token"])[0] == 200


def test_access_token_lives_600_seconds_also_after_a_refresh(box: Sandbox, caller: Caller) -> None:
    tokens = box.issue_tokens()
    caller.token = tokens["access_token"]
    box.clock.advance(570)
    assert refresh(caller, tokens["refresh_token"])[0] == 200
    assert caller.follow("/api/v1/current/Me").status_code == 200
    box.clock.advance(30)
    answer = caller.follow("/api/v1/current/Me")
    assert answer.status_code == 401
    assert "message%20expired" in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize("token", ["", "short", None], ids=["empty", "cut", "truncated"])
def test_token_that_never_was_gets_the_login_page(caller: Caller, token: str | None) -> None:
    caller.token = caller.token[:255] if token is None else token
    answer = caller.follow("/api/v1/current/Me")
    assert answer.status_code == 401
    assert "Object moved" in answer.text
    assert answer.headers["content-type"].startswith("text/html")


def test_token_counts_behind_the_word_bearer_only(caller: Caller) -> None:
    for scheme, status in (("Basic", 401), ("Token", 401), ("bearer", 200)):
        header = {"Authorization": f"{scheme} {caller.token}"}
        assert caller.send("GET", "/api/v1/current/Me", header).status_code == status


def test_grace_lets_the_old_token_work_until_the_new_pair_was_used(
    box: Sandbox, caller: Caller
) -> None:
    box.state.oauth.grace = True
    tokens = box.issue_tokens()
    box.clock.advance(570)
    assert refresh(caller, tokens["refresh_token"])[0] == 200
    status, newest = refresh(caller, tokens["refresh_token"])
    assert status == 200
    caller.token = newest["access_token"]
    assert caller.follow("/api/v1/current/Me").status_code == 200
    assert refresh(caller, tokens["refresh_token"])[0] == 401


def test_change_of_password_ends_every_connection(box: Sandbox, caller: Caller) -> None:
    tokens = box.issue_tokens()
    box.state.oauth.revoke()
    box.clock.advance(580)
    assert refresh(caller, tokens["refresh_token"])[0] == 400
    assert caller.follow("/api/v1/current/Me").status_code == 401


def test_lost_reply_rotates_all_the_same(box: Sandbox, caller: Caller) -> None:
    tokens = box.issue_tokens()
    box.clock.advance(580)
    box.fault("token-lost")
    with pytest.raises(ConnectionResetError):
        refresh(caller, tokens["refresh_token"])
    assert refresh(caller, tokens["refresh_token"])[0] == 401
    assert [request.status for request in box.token_requests] == [0, 401]


@pytest.mark.parametrize(
    ("kind", "status", "body"),
    [
        ("token-empty", 200, ""),
        ("token-500", 500, "ExtractVariables"),
        ("token-503", 503, ""),
        ("token-html", 200, "<html"),
    ],
)
def test_broken_gateway_rotates_nothing(
    box: Sandbox, caller: Caller, kind: str, status: int, body: str
) -> None:
    tokens = box.issue_tokens()
    box.clock.advance(580)
    box.fault(kind)
    answer = caller.token_request(grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert answer.status_code == status
    assert body in answer.text
    assert refresh(caller, tokens["refresh_token"])[0] == 200
