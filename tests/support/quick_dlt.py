"""Makes loads of a few rows quicker: dlt computes the same again and again.

In each load it asks a thousand times what kind of type a hint is, and reads the schema twenty times.
Without that, a load takes a fifth less CPU time.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache, wraps
from pathlib import Path
from types import SimpleNamespace
from typing import Any

PURE = {
    "dlt.common.typing": (
        "extract_inner_type", "extract_type_if_modifier", "is_annotated", "is_any_type",
        "is_literal_type", "is_newtype_type", "is_optional_type", "is_subclass", "is_typeddict",
        "is_union_type",
    ),
    "dlt.common.configuration.specs.base_configuration": (
        "extract_inner_hint", "get_config_if_union_hint", "is_base_configuration_inner_hint",
        "is_credentials_inner_hint", "is_hint_not_resolvable", "is_secret_hint", "is_valid_hint",
    ),
}  # fmt: skip


def make_dlt_quicker() -> None:
    """Replace functions of dlt, which must have been imported, wherever they are used."""
    quicker: dict[int, Callable[..., Any]] = {}
    for module, names in PURE.items():
        for name in names:
            function = getattr(sys.modules[module], name)
            quicker[id(function)] = remembered(function)
    for name, module_of_dlt in list(sys.modules.items()):
        if name.partition(".")[0] == "dlt":
            for attribute, value in list(vars(module_of_dlt).items()):
                if id(value) in quicker:
                    setattr(module_of_dlt, attribute, quicker[id(value)])
    _remember_fields()
    _remember_schemas()
    _copy_schemas_quickly()
    _remember_capabilities()
    _hash_once()
    _remember_names()
    _keep_duckdb_open()


def remembered(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that computes each result once.

    Two hints may be equal and differ in the order of a union's members, so identity counts. The
    arguments are kept with the result, because otherwise another hint could get the same identity.
    """
    results: dict[Any, tuple[Any, Any]] = {}

    @wraps(function)
    def with_memory(*arguments: Any, **options: Any) -> Any:
        key = (*map(id, arguments), *options.items())
        found = results.get(key)
        if found is None:
            found = results[key] = arguments, function(*arguments, **options)
        return found[1]

    return with_memory


def _remember_fields() -> None:
    """Look at the fields and annotations of each class of settings once."""
    from dlt.common.configuration.specs.base_configuration import BaseConfiguration

    compute: Any = BaseConfiguration.get_resolvable_fields
    fields: dict[type, dict[str, type]] = {}

    def get_resolvable_fields(cls: type) -> dict[str, type]:
        if cls not in fields:
            fields[cls] = compute.__func__(cls)
        return dict(fields[cls])

    replacement: Any = classmethod(get_resolvable_fields)
    BaseConfiguration.get_resolvable_fields = replacement  # type: ignore[method-assign]

    count: Any = BaseConfiguration.__len__
    lengths: dict[type, int] = {}

    def length(settings: Any) -> int:
        if type(settings) not in lengths:
            lengths[type(settings)] = count(settings)
        return lengths[type(settings)]

    BaseConfiguration.__len__ = length  # type: ignore[method-assign]


def _remember_schemas() -> None:
    """Read a schema again only if its file changed; dlt reads it twenty times in a sync."""
    from dlt.common.storages.live_schema_storage import LiveSchemaStorage

    read = LiveSchemaStorage.__getitem__

    def get(storage: LiveSchemaStorage, name: str) -> Any:
        files = vars(storage).setdefault("_files", {})
        found = _file_of(storage, name)
        if found and files.get(name) == found and storage.is_live_schema_committed(name):
            return storage.live_schemas[name]
        schema = read(storage, name)
        files[name] = _file_of(storage, name)
        return schema

    LiveSchemaStorage.__getitem__ = get  # type: ignore[method-assign]


def _copy_schemas_quickly() -> None:
    """Copy schemas, as dlt often does, without bookkeeping for parts that occur twice."""
    from dlt.common.schema import schema, utils

    for module in (schema, utils):
        vars(module)["deepcopy"] = copied


def copied(value: Any) -> Any:
    """A copy that shares no part with a value made of dictionaries, lists and texts."""
    if type(value) is dict:
        return {key: copied(part) for key, part in value.items()}
    if type(value) is list:
        return [copied(part) for part in value]
    return value if isinstance(value, str | int | None) else copy.deepcopy(value)


def _remember_capabilities() -> None:
    """Read the settings that decide what a destination can do once; dlt reads them ten times in a load."""
    from dlt.common.destination.reference import Destination

    compute: Any = Destination.capabilities

    def capabilities(destination: Any, config: Any = None, naming: Any = None) -> Any:
        if config is not None:
            return compute(destination, config, naming)
        known = vars(destination).setdefault("_capabilities", {})
        # The program sets parameters of a destination after dlt has asked for the first time.
        key = naming and (type(naming), naming.max_length), str(destination.caps_params)
        if key not in known:
            known[key] = compute(destination, config, naming)
        return copy.copy(known[key])

    replacement: Any = capabilities
    Destination.capabilities = replacement  # type: ignore[method-assign]


def _hash_once() -> None:
    """Compute the hash of a schema once a load; dlt does it for each table, over all tables."""
    from dlt.load.load import Load

    compute: Any = Load._compute_outputs

    def outputs(load: Any, schema: Any, caps: Any, tables: Any, dataset: str | None) -> Any:
        if dataset is not None:  # else dlt needs the schema itself
            schema = SimpleNamespace(name=schema.name, version_hash=schema.version_hash)
        return compute(load, schema, caps, tables, dataset)

    replacement: Any = outputs
    Load._compute_outputs = replacement  # type: ignore[method-assign]


def _remember_names() -> None:
    """Compute the allowed fields of dictionaries and the names of environment variables once."""
    from dlt.common import validation
    from dlt.common.configuration.providers.environ import EnvironProvider

    compute: Any = vars(validation)["get_type_hints"]
    hints: dict[type, dict[str, Any]] = {}

    def get_type_hints(spec: type, **options: Any) -> dict[str, Any]:
        if spec not in hints:
            hints[spec] = compute(spec, **options)
        return hints[spec]

    vars(validation)["get_type_hints"] = get_type_hints
    EnvironProvider.get_key_name = staticmethod(cache(EnvironProvider.get_key_name))  # type: ignore[method-assign]


def _keep_duckdb_open() -> None:
    """Keep each DuckDB file open until its load ends, and use small blocks.

    Opening a file takes ten milliseconds, and dlt opens it several times in a load. DuckDB gives each column
    of a table blocks of its own and fills them with zeros; by default a block has 256 KiB.
    """
    import duckdb
    from dlt import Pipeline

    connect: Any = duckdb.connect
    run: Any = Pipeline.run
    loads: list[dict[str, Any]] = []

    @wraps(connect)
    def connect_and_keep(
        database: Any = ":memory:", read_only: bool = False, config: Any = None
    ) -> Any:
        how = database, read_only, {"default_block_size": "16384"} | (config or {})
        connection = connect(*how)
        if loads and not read_only and ":memory:" not in str(database):
            loads[-1].setdefault(str(database), connect(*how))
        return connection

    @wraps(run)
    def run_and_close(*arguments: Any, **options: Any) -> Any:
        loads.append({})
        try:
            return run(*arguments, **options)
        finally:
            for connection in loads.pop().values():
                connection.close()

    duckdb.connect = connect_and_keep
    Pipeline.run = run_and_close  # type: ignore[method-assign]


def _file_of(storage: Any, name: str) -> tuple[int, int, int] | None:
    """Identity of a schema's file; ``None`` if there is none, or if it is imported from elsewhere."""
    if name not in storage.live_schemas or storage.config.import_schema_path:
        return None
    place = storage.storage.make_full_path(storage._file_name_in_store(name, "json"))
    with suppress(OSError):
        found = Path(place).stat()
        return found.st_ino, found.st_mtime_ns, found.st_size
    return None
