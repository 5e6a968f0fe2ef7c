"""The small page at ``/_sandbox/``, for people who try the sandbox by hand."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..box import Sandbox

STYLE = (
    "body{font:15px system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse}td,th{padding:.2rem .8rem;text-align:left;border-bottom:1px solid #ddd}"
    "code,textarea{font:13px ui-monospace,monospace}textarea{width:100%;height:7rem}"
    "@media(prefers-color-scheme:dark){body{background:#181818;color:#ddd}a{color:#9cf}}"
)
SCRIPT = """
const $=id=>document.getElementById(id),act=$('act'),body=$('body'),out=$('out');
const refresh=async()=>{
 const text=await (await fetch('/_sandbox/')).text(),page=new DOMParser().parseFromString(text,'text/html');
 for(const id of ['facts','companies'])$(id).replaceWith(page.getElementById(id))};
act.onchange=()=>{body.value=act.value?JSON.stringify(JSON.parse(act.selectedOptions[0].dataset.body),null,1):''};
act.onchange();
$('send').onclick=async()=>{
 out.textContent='...';
 try{
  const answer=await fetch('/_sandbox/'+act.value,{method:'POST',body:body.value});
  const said=JSON.stringify(await answer.json(),null,1);
  await refresh();
  out.textContent=said;
 }catch{out.textContent='no answer: the sandbox does not run any more'}};
"""


def control_page(box: Sandbox, base_url: str, stats: Mapping[str, Any]) -> str:
    """The page: how to log in, what was called, and a form for every action."""
    facts = {
        "Base URL": base_url,
        "Authorize": f"{base_url}/api/oauth2/auth",
        "Token": f"{base_url}/api/oauth2/token",
        "Client id": box.client_id,
        "Client secret": box.client_secret,
        "Redirect URI": box.redirect_uri,
        "Clock": f"{stats['now']}{' (frozen)' if stats['frozen'] else ''}",
    }
    rows = "".join(
        f"<tr><th>{name}</th><td><code>{escape(text)}</code></td></tr>"
        for name, text in facts.items()
    )
    divisions = "".join(
        f"<tr><td>{division}</td><td>{count['calls']}</td><td>{count['minute']}</td>"
        f"<td>{count['day']}</td><td>{count['max_in_flight']}</td></tr>"
        for division, count in stats["divisions"].items()
    )
    options = "".join(
        f'<option data-body="{escape(example)}">{name}</option>'
        for name, example in _examples(box).items()
    )
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Sandbox of Exact Online</title>'
        f"<style>{STYLE}</style></head><body><h1>Sandbox of Exact Online</h1><table id=facts>{rows}</table>"
        "<h2>Companies</h2><table id=companies><tr><th>Division</th><th>Calls</th><th>This minute</th>"
        f"<th>Today</th><th>At once</th></tr>{divisions}</table>"
        '<p><a href="stats">stats</a> · <a href="requests">requests</a></p>'
        f'<h2>Change something</h2><select id="act">{options}</select><textarea id="body"></textarea>'
        f'<button id="send">POST</button><pre id="out"></pre><script>{SCRIPT}</script></body></html>'
    )


def _examples(box: Sandbox) -> dict[str, str]:
    """An example of the body of each action, which can be sent as it is."""
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
