"""Creates the token storage according to the settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...destinations import make_destination, split_destination
from ...errors import ConfigurationError
from ...settings import SECTION, Settings
from .dlt_state import DltStateTokenStorage
from .file import FileTokenStorage
from .sql import SqlTokenStorage

if TYPE_CHECKING:
    import dlt

BuiltInStorage = FileTokenStorage | SqlTokenStorage | DltStateTokenStorage


def storage_from_settings(
    settings: Settings, pipeline: dlt.Pipeline | None = None
) -> BuiltInStorage:
    """The storage named by ``token_storage``: ``file`` (the default), ``sql`` or ``dlt``.

    Args:
        settings: Settings of the connection.
        pipeline: Pipeline whose destination stores the tokens if ``token_storage`` is ``dlt`` and
            ``token_destination`` is not set; commands without a pipeline need ``token_destination``.

    Raises:
        ConfigurationError: If a setting that the storage needs is missing or wrong.
    """
    match settings.token_storage:
        case "file":
            return FileTokenStorage(settings.token_file, key=settings.token_key)
        case "sql":
            if not settings.token_url:
                raise ConfigurationError(
                    f'{SECTION}.token_url is not set; token_storage = "sql" needs it, for '
                    "example postgresql://user:password@host/database"
                )
            return SqlTokenStorage(
                settings.token_url,
                key=settings.token_key,
                name=settings.token_name,
                journal=Path(f"{settings.token_file}.{settings.token_name}.journal"),
            )
        case "dlt":
            return _dlt_storage(settings, pipeline)
    raise ConfigurationError(
        f"{SECTION}.token_storage is {settings.token_storage!r}; use file, sql or dlt"
    )


def _dlt_storage(settings: Settings, pipeline: dlt.Pipeline | None) -> DltStateTokenStorage:
    if settings.token_destination:
        kind, place = split_destination(settings.token_destination)
        return DltStateTokenStorage(
            make_destination(kind, place, f"{SECTION}.token_destination"),
            key=settings.token_key,
            name=settings.token_name,
            dataset_name=settings.token_dataset,
        )
    if pipeline is None:
        raise ConfigurationError(
            f'{SECTION}.token_destination is not set; token_storage = "dlt" needs it if no '
            "pipeline is given: name the destination of your syncs, for example postgres"
        )
    return DltStateTokenStorage(pipeline, key=settings.token_key, name=settings.token_name)
