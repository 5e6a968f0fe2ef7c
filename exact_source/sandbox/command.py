"""``exact-source sandbox``: serves a sandbox until it is stopped."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from .box import Sandbox
from .rules.faults import parse_fault
from .server import LOOPBACK, bind, run_server

DIVISIONS = 6  # divisions that are printed as text; the JSON has all


def run(
    port: int = 8080, faults: Sequence[str] = (), *, as_json: bool = False, **settings: Any
) -> None:
    """Serve a sandbox on loopback in the foreground, until Ctrl-C.

    Args:
        port: Port; 0 chooses a free one.
        as_json: Print the addresses as one line of JSON, and nothing else.
        faults: Such as ``429:0.01``: a kind and the probability per call.
        settings: Arguments of ``Sandbox``.

    Raises:
        ValueError: If a fault is malformed.
        OSError: If the port is in use.
    """
    box = Sandbox(**settings)
    for text in faults:
        box.state.faults.add(parse_fault(text))
    bound = bind(port)
    base_url = f"http://{LOOPBACK}:{bound.getsockname()[1]}"

    def tell() -> None:
        facts = json.dumps(addresses(box, base_url)) + "\n"
        sys.stdout.write(facts if as_json else describe(box, base_url))
        sys.stdout.flush()

    try:
        run_server(box.app, bound, tell)
    except KeyboardInterrupt:
        sys.stdout.write("" if as_json else "stopped\n")
    finally:
        bound.close()


def addresses(box: Sandbox, base_url: str) -> dict[str, Any]:
    """The addresses and credentials of a running sandbox, as plain values; the secrets protect nothing."""
    return {
        "base_url": base_url,
        "authorize_url": f"{base_url}/api/oauth2/auth",
        "token_url": f"{base_url}/api/oauth2/token",
        "control_url": f"{base_url}/_sandbox/",
        "divisions": list(box.divisions),
        "client_id": box.client_id,
        "client_secret": box.client_secret,
        "redirect_uri": box.redirect_uri,
        "webhook_secret": box.webhooks.secret,
    }


def describe(box: Sandbox, base_url: str) -> str:
    """The addresses and credentials of a running sandbox, as text."""
    shown = list(map(str, box.divisions[:DIVISIONS]))
    more = len(box.divisions) - len(shown)
    divisions = ", ".join([*shown, f"and {more} more"] if more else shown)
    return (
        f"Exact Online sandbox on {base_url}  (stop with Ctrl-C)\n"
        f"  authorize      {base_url}/api/oauth2/auth\n"
        f"  token          {base_url}/api/oauth2/token\n"
        f"  data           {base_url}/api/v1/{{division}}/...\n"
        f"  divisions      {divisions}\n"
        f"  client id      {box.client_id}\n"
        f"  client secret  {box.client_secret}\n"
        f"  redirect URI   {box.redirect_uri}\n"
        f"  webhook secret {box.webhooks.secret}\n"
        f"  web page       {base_url}/\n"
        f"  control        POST {base_url}/_sandbox/insert update delete touch clock consume deny allow"
        " fault reset ...\n"
    )
