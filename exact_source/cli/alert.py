"""Reports a failed sync to a Slack channel, or to any service that accepts Slack's webhooks.

The hook is dlt's own setting ``runtime.slack_incoming_hook``, and dlt sends it.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from ..errors import ExitCode
from ..wording import plural
from ._output.logs import notes

if TYPE_CHECKING:
    from ..sync.outcome import Outcome

HOOK = "runtime.slack_incoming_hook"
MOST_LINES = 10
PATIENCE_S = 15.0


def alert(pipeline: str, outcome: Outcome) -> None:
    """Report a failure if a hook is set; errors of the hook do not change the outcome."""
    import dlt
    from dlt.common.runtime.slack import send_slack_message

    hook: str | None = dlt.secrets.get(HOOK)
    text = alert_text(pipeline, outcome)
    if not hook or not text:
        return
    failure: list[Exception] = []

    def send() -> None:
        try:
            send_slack_message(hook, text)
        except Exception as error:  # noqa: BLE001 (a failed alert must not hide the sync's error)
            failure.append(error)

    # dlt would wait forever for a hook that does not answer.
    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    if failure or thread.is_alive():
        # Only the class: the error's message contains the address, which is a secret.
        kind = type(failure[0]).__name__ if failure else "no answer"
        notes.warning("the alert could not be sent (%s)", kind)


def alert_text(pipeline: str, outcome: Outcome) -> str:
    """The message: the error of the sync, or the failed streams; not those that wait or are refused."""
    failed = [r.error for r in outcome.results if r.status == "failed"]
    if outcome.exit_code in {ExitCode.FAILED, ExitCode.USAGE}:
        head = f"exact-source sync of {pipeline} failed"
        lines = [str(outcome.error)] if outcome.error else failed
    elif failed:
        count = plural(len(failed), "stream")
        head = f"exact-source sync of {pipeline}: {count} failed; the others are loaded"
        lines = failed
    else:
        return ""
    return "\n".join([head, *(f"- {line}" for line in dict.fromkeys(lines[:MOST_LINES]))])
