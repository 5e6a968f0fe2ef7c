"""Whether rows that wait in a working folder are older than rows that were loaded since.

A package that was read and not loaded waits in the working folder of its host. Meanwhile another host, or a
pipeline with another name, may load newer rows into the same dataset. The waiting rows would overwrite them,
and nothing would read the newer ones again, because the cursor of the other pipeline is past them.

Each package therefore notes how many loads the dataset had when it was read, in dlt's state of the package.
Clocks do not matter.
"""

from __future__ import annotations

from contextlib import closing

import dlt
from dlt.common.storages.load_package import TLoadPackageState, destination_state

from .warehouse import Warehouse

LOADS = "exact_loads"  # in the state of a package


def note_loads(stored: Warehouse) -> None:
    """Note in the package that is being extracted how many loads the dataset has."""
    destination_state()[LOADS] = stored.loads()


def are_overtaken(pipeline: dlt.Pipeline) -> bool:
    """Whether the dataset has other loads than when the waiting packages were read.

    Packages without a note count as overtaken: they are read again, which costs calls and no rows.
    """
    with closing(Warehouse(pipeline)) as stored:
        loads = stored.loads()
    return any(
        state.get("destination_state", {}).get(LOADS) != loads for state in _waiting(pipeline)
    )


def _waiting(pipeline: dlt.Pipeline) -> list[TLoadPackageState]:
    extracted = pipeline._get_normalize_storage().extracted_packages  # noqa: SLF001
    states = [extracted.get_load_package_state(i) for i in pipeline.list_extracted_load_packages()]
    normalized = pipeline.list_normalized_load_packages()
    return [*states, *(pipeline.get_load_package_state(load_id) for load_id in normalized)]
