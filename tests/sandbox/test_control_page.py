"""The sandbox's page for people, used in a browser as a person would."""

from __future__ import annotations

import asyncio
import json
import re
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from starlette.types import Receive, Scope, Send

from exact_source.sandbox import Sandbox
from exact_source.sandbox.server import serve
from tests.support.browser import Browser, colours
from tests.support.sandbox_kit import ALL_ACCOUNTS, Caller, new_box
from tests.support.world import make_box

# Chooses each action in turn, sends what the form proposes, and tells what the page shows then. The
# picture is there only once that is told, so that the browser stays until then.
PERSON = """<!DOCTYPE html><iframe id="seen" src="/_sandbox/"></iframe><img src="/told.png"><script>
seen.onload = async () => {
  const page = seen.contentDocument, at = id => page.getElementById(id), told = [];
  const settled = () => new Promise(resolve => {
    let left = 400;  // a page that is broken says nothing, ever
    const look = () => at('out').textContent.length > 3 || !left-- ? resolve() : setTimeout(look, 5);
    look(); });
  const send = async () => { at('send').click(); await settled();
    told.push([at('act').value, at('out').textContent, at('companies').innerText]); };
  for (const option of [...at('act').options]) {
    at('act').value = option.value; at('act').onchange(); await send();
  }
  at('act').value = 'fault'; at('body').value = '{'; await send();
  page.defaultView.fetch = () => Promise.reject(new TypeError('gone')); await send();
  await fetch('/told', {method: 'POST', body: JSON.stringify(told)});
};
</script>"""


class Watched:
    """The sandbox with a person at its page."""

    def __init__(self, box: Sandbox) -> None:
        self._app = box.app
        self.told: list[list[str]] = []
        self._is_told = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["path"]:
            case "/person":
                await answer(send, PERSON.encode(), b"text/html")
            case "/told":
                self.told = json.loads(await body(receive))
                self._is_told.set()
                await answer(send, b"", b"text/plain")
            case "/told.png":
                await self._is_told.wait()
                await answer(send, b"", b"image/png")
            case _:
                await self._app(scope, receive, send)


async def answer(send: Send, text: bytes, kind: bytes) -> None:
    headers = [(b"content-type", kind), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": text})


async def body(receive: Receive) -> bytes:
    found, more = b"", True
    while more:
        message = await receive()
        found += message.get("body", b"")
        more = message.get("more_body", False)
    return found


def test_each_action_does_what_the_form_proposes(browser: Browser) -> None:
    box = make_box()
    watched = Watched(box)

    with serve(watched, 0) as base_url:
        browser.visit(f"{base_url}/person")

    *proposed, broken, gone = watched.told
    said: dict[str, Any] = {name: json.loads(text or "{}") for name, text, _ in proposed}
    assert len(said) == 14
    assert [name for name, answer in said.items() if "result" not in answer] == []
    assert said["insert"]["result"]["Name"] == "Nieuwe klant B.V."
    assert said["update"]["result"]["Name"] == "Andere naam"
    assert said["login"]["result"]["code"]
    companies = {name: text for name, _, text in proposed}
    (first, *_) = [line for line in companies["insert"].splitlines() if line[:1].isdigit()]
    assert first.startswith(f"{box.divisions[0]}\t")
    assert first.endswith("\t0\t0\t0\t0")
    assert companies["consume"] != companies["clock"], "the table shows what was done"
    assert "error" in json.loads(broken[1])
    assert gone[1].startswith("no reply")


def test_the_page_lists_the_last_calls_and_its_link_logs_in() -> None:
    box = new_box()
    caller = Caller(box)
    for _ in range(25):
        caller.get("crm/Accounts", {"$top": "1"})
    caller.get("financial/Journals")

    page = caller.send("GET", "/_sandbox/").text
    (calls,) = re.findall(r"<table id=calls>(.*?)</table>", page)
    (link,) = re.findall(r'<a id="login" href="([^"]*)"', page)
    sent = caller.send("GET", unescape(link))

    rows = re.findall(r"<tr><td>(.*?)</tr>", calls)
    assert len(rows) == 20
    assert "<td>GET financial/Journals</td>" in rows[0]
    assert f"<td>{caller.division}</td>" in rows[0]
    assert "<td>$top=1</td><td>200</td><td>1</td>" in rows[1]
    assert sent.status_code == 302
    place, _, query = sent.headers["location"].partition("?")
    (code,) = parse_qs(query)["code"]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": place}
    assert caller.token_request(**form).status_code == 200


@pytest.mark.nightly
@pytest.mark.parametrize("width", [412, 1280])
def test_the_page_fits_a_phone_and_is_drawn_light_and_dark(
    browser: Browser, tmp_path: Path, width: int
) -> None:
    box = new_box(companies=3)
    caller = Caller(box)
    for _ in range(25):
        caller.get("crm/Accounts", {"$select": "ID,Name,Code,Email", "$filter": ALL_ACCOUNTS})
    text = caller.send("GET", "/_sandbox/").text
    assert '<meta name="viewport"' in text
    light, dark = tmp_path / "light.html", tmp_path / "dark.html"
    light.write_text(text, "utf-8")
    dark.write_text(text.replace("@media(prefers-color-scheme:dark)", "@media all"), "utf-8")

    measured = json.loads(browser.measure(light, width))
    drawn = [colours(browser.picture(file, width, 900)) for file in (light, dark)]

    assert measured["page"] <= width
    assert measured["broken"] == []
    paper = [found.most_common(1)[0][0] for found in drawn]
    assert paper == ["#ffffff", "#181818"]
    for found, ink in zip(drawn, ("#222222", "#dddddd"), strict=True):
        assert found[ink] > 200, ink
