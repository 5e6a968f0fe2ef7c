"""The page at ``/``, for interactive use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

if TYPE_CHECKING:
    from ..box import Sandbox

LAST_CALLS = 20
STYLE = (
    "body{font:15px system-ui;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;display:block;overflow-x:auto}"  # numbers stay whole on a phone
    "td,th{padding:.2rem .8rem;text-align:left;border-bottom:1px solid #ddd}"
    "code,#calls td:nth-child(4){overflow-wrap:anywhere}#calls td:nth-child(4){min-width:12rem}"
    "code,textarea{font:13px ui-monospace,monospace}textarea{width:100%;height:7rem}"
    "@media(prefers-color-scheme:dark){body{background:#181818;color:#ddd}a{color:#9cf}}"
)
SCRIPT = """
const $=id=>document.getElementById(id),act=$('act'),body=$('body'),out=$('out');
const refresh=async()=>{
 const text=await (await fetch('/')).text(),page=new DOMParser().parseFromString(text,'text/html');
 for(const id of ['facts','companies','calls'])$(id).replaceWith(page.getElementById(id))};
act.onchange=()=>{body.value=act.value?JSON.stringify(JSON.parse(act.selectedOptions[0].dataset.body),null,1):''};
act.onchange();
$('send').onclick=async()=>{
 out.textContent='...';
 try{
  const answer=await fetch('/_sandbox/'+act.value,{method:'POST',body:body.value});
  const said=JSON.stringify(await answer.json(),null,1);
  await refresh();
  out.textContent=said;
 }catch{out.textContent='no reply: the sandbox is not running'}};
"""


def control_page(box: Sandbox, base_url: str, stats: Mapping[str, Any]) -> str:
    """The page: credentials, the last calls, and a form that sends any action."""
    login = {"client_id": box.client_id, "redirect_uri": box.redirect_uri, "response_type": "code"}
    facts = {
        "Base URL": base_url,
        "Client id": box.client_id,
        "Client secret": box.client_secret,
        "Redirect URI": box.redirect_uri,
        "Token": f"{base_url}/api/oauth2/token",
        "Clock": f"{stats['now']}{' (frozen)' if stats['frozen'] else ''}",
    }
    authorize = escape(f"/api/oauth2/auth?{urlencode(login)}")
    actions = "".join(
        f'<option data-body="{escape(example)}">{name}</option>'
        for name, example in _examples(box).items()
    )
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        "<title>Exact Online sandbox</title>"
        f"<style>{STYLE}</style></head><body><h1>Exact Online sandbox</h1>"
        f"<table id=facts>{_facts(facts)}</table>"
        f'<p><a id="login" href="{authorize}">Log in</a>: the browser is sent to the redirect URI with a '
        "code, which the app exchanges for tokens within three minutes.</p>"
        f"<h2>Companies</h2>{_companies(stats)}"
        f"<h2>Last calls</h2>{_calls(box)}"
        '<p>As JSON: <a href="/_sandbox/stats">stats</a>, <a href="/_sandbox/requests">requests</a></p>'
        f'<h2>Change something</h2><select id="act">{actions}</select><textarea id="body"></textarea>'
        f'<button id="send">Send</button><pre id="out"></pre><script>{SCRIPT}</script></body></html>'
    )


def _facts(facts: Mapping[str, str]) -> str:
    return "".join(
        f"<tr><th>{name}</th><td><code>{escape(text)}</code></td></tr>"
        for name, text in facts.items()
    )


def _companies(stats: Mapping[str, Any]) -> str:
    rows = [
        (code, count["name"], count["calls"], count["minute"], count["day"], count["max_in_flight"])
        for code, count in stats["divisions"].items()
    ]
    heads = ("Division", "Name", "Calls", "This minute", "Today", "Most at the same time")
    return _table("companies", heads, rows)


def _calls(box: Sandbox) -> str:
    rows = [
        (
            datetime.fromtimestamp(call.at, UTC).strftime("%H:%M:%S"),
            call.division or "",
            f"{call.method} {call.path}",
            "&".join(f"{name}={text}" for name, text in call.query.items()),
            call.status,
            call.rows,
        )
        for call in reversed(box.requests[-LAST_CALLS:])
    ]
    return _table("calls", ("Time (UTC)", "Division", "Path", "Query", "Status", "Rows"), rows)


def _table(name: str, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    head = "".join(f"<th>{text}</th>" for text in heads)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows
    )
    return f"<table id={name}><tr>{head}</tr>{body}</table>"


def _examples(box: Sandbox) -> dict[str, str]:
    """A valid example body for each action."""
    division, path = box.divisions[0], "crm/Accounts"
    at = f'"path":"{path}","division":{division}'
    key = next((row["ID"] for row in box.rows(path, division)), "guid of a row")
    return {
        "insert": f'{{{at},"row":{{"Name":"Nieuwe klant B.V.","Code":"             99999"}}}}',
        "update": f'{{{at},"key":"{key}","changes":{{"Name":"Andere naam"}}}}',
        "delete": f'{{{at},"key":"{key}"}}',
        "touch": f"{{{at}}}",
        "clock": '{"advance":600}',
        "consume": f'{{"division":{division},"calls":50}}',
        "deny": f'{{{at},"how":"403"}}',
        "allow": f'{{"division":{division}}}',
        "fault": '{"kind":"503","path":"crm/*","times":2}',
        "clear_faults": "{}",
        "move_division": f'{{"division":{division}}}',
        "block_division": f'{{"division":{division},"status":1}}',
        "login": "{}",
        "reset": "{}",
    }
