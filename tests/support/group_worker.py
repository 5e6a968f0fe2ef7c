"""A worker process: reads groups from stdin, one per line, syncs them and prints the results.

Settings come from its environment.
"""

from __future__ import annotations

import json
import os
import sys
import time
from tempfile import TemporaryDirectory
from typing import Any


def main(destination: str, dataset: str, entities: list[str]) -> None:
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    import dlt

    from exact_source.orchestration import advise, sync_divisions

    say({"ready": os.getpid()})
    for line in sys.stdin:
        group = json.loads(line)
        with TemporaryDirectory() as folder:
            pipeline = dlt.pipeline(
                f"exact_online_{group['name']}",
                destination=dlt.destinations.postgres(destination),
                dataset_name=dataset,
                pipelines_dir=folder,
            )
            outcome = sync_divisions(pipeline, group["divisions"], entities)
        advice = advise(outcome, time.time())
        say({"action": advice.action, "reason": advice.reason})


def say(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3].split(","))
