"""A process that loads a window of dates, as a script does; begins when a line is written to it.

python -m tests.support.window_worker JSON
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any


def main(order: dict[str, Any]) -> int:
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    import dlt

    from exact_source import FileTokenStorage, exact_online, run_to_end
    from tests.support.sync_worker import AheadClock

    destination: Any = getattr(dlt.destinations, order["kind"])
    pipeline = dlt.pipeline(
        order["name"],
        destination=destination(order["place"]),
        dataset_name=order["dataset"],
        pipelines_dir=order["folder"],
    )
    source = exact_online(
        entities=["accounts"],
        start_date=order["window"][0],
        end_date=order["window"][1],
        base_url=order["base_url"],
        client_id=order["client_id"],
        client_secret=order["client_secret"],
        token_storage=FileTokenStorage(order["tokens"]),
        clock=AheadClock(order["now"] - time.time()),
    )
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    outcome = run_to_end(pipeline, source)
    sys.stderr.write(f"{outcome}\n")
    return outcome.exit_code


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
