"""Detects waiting packages that are older than rows loaded since.

A package that was extracted but not loaded waits in the working folder of its host. Meanwhile another host,
or a pipeline with another name, may load newer rows into the same dataset. The waiting rows would overwrite
them, and the newer rows would not be read again, because the cursor of the other pipeline is past them.

Each package therefore stores, in dlt's package state, how many loads the dataset had when it was extracted.
This does not depend on clocks.
"""

from __future__ import annotations

from contextlib import closing
from typing import Any

import dlt
from dlt.common.storages.load_package import TLoadPackageState, destination_state

from ..errors import ConfigurationError
from .entity_resource import table_names
from .state import READERS
from .warehouse import Warehouse

LOADS = "exact_loads"  # in the state of a package


def note_loads(stored: Warehouse) -> None:
    """Store the number of loads of the dataset in the package that is being extracted."""
    destination_state()[LOADS] = stored.loads()


def refuse_waiting_rows(pipeline: dlt.Pipeline) -> None:
    """Refuse to read an entity again while rows of it wait for the same table.

    The cursor does not cover waiting rows, so all of them would be read and appended once more. A row that
    was deleted at Exact in between would stay, because it is neither stored yet nor read again.
    ``pipeline.run`` and syncs load waiting rows first; only a script that calls dlt's steps gets here.

    Raises:
        ConfigurationError: If such rows wait in the working folder.
    """
    if not pipeline.has_pending_data:
        return
    tables = table_names()
    for state in _waiting(pipeline):
        readers: Any = state.get(READERS, {})
        for entity, reader in readers.items():
            if tables.get(entity) == reader["table"]:
                raise ConfigurationError(
                    f"{entity}: rows of an earlier pipeline.extract wait to be loaded; call "
                    "pipeline.normalize() and pipeline.load() before the next pipeline.extract, or use "
                    "pipeline.run"
                )


def are_overtaken(pipeline: dlt.Pipeline) -> bool:
    """Whether the dataset has been loaded into since the waiting packages were extracted.

    Packages without that number count as overtaken: reading them again costs calls but loses no rows.
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
