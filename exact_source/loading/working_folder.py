"""Keeps dlt's working folder private, small and readable.

Everything essential is in the destination. The folder contains the state and schemas of the last sync, rows
that wait to be loaded, and the data of ``dlt pipeline info`` and ``dlt pipeline trace``.
"""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import dlt
from dlt.common.configuration import (
    ConfigValueCannotBeCoercedException,
    configspec,
    inject_section,
    known_sections,
    resolve_configuration,
)
from dlt.common.configuration.specs import BaseConfiguration
from dlt.common.configuration.specs.config_section_context import ConfigSectionContext
from dlt.common.pipeline import get_dlt_pipelines_dir
from dlt.common.storages.load_package import PackageStorage
from dlt.common.storages.load_storage import LoadStorage
from dlt.common.versioned_state import json_decode_state

from ..file_lock import LockedError, locked

logger = logging.getLogger(__name__)

FILE_MODE, FOLDER_MODE = 0o600, 0o700
STATE_FILE, SCHEMAS = dlt.Pipeline.STATE_FILE, "schemas"


# -- private and small -----------------------------------------------------------------------------


def make_private(pipeline: dlt.Pipeline) -> None:
    """Make the working folder private, because it contains rows that wait to be loaded.

    The folder comes first, so that files that dlt adds later are private as well.
    """
    folder = Path(pipeline.working_dir)
    for path in (folder, *folder.rglob("*")):
        mode = FOLDER_MODE if path.is_dir() else FILE_MODE
        if not path.is_symlink() and path.stat().st_mode & 0o777 != mode:
            path.chmod(mode)


def make_folder_private(pipeline: dlt.Pipeline) -> None:
    """Let only the owner enter the working folder; this protects its files, whatever their mode.

    It is safe during an extraction, in which files are created and deleted.
    """
    Path(pipeline.working_dir).chmod(FOLDER_MODE)


@configspec
class PackageSettings(BaseConfiguration):
    """dlt's setting that decides whether rows stay in the working folder after a load."""

    delete_completed_jobs: bool = True


def remove_loaded_packages(pipeline: dlt.Pipeline) -> None:
    """Remove the rows of completed loads, and all completed loads except the last one.

    Packages with failed jobs stay, because ``with_failed_jobs`` looks for them. Nothing is removed if dlt's
    ``load.delete_completed_jobs`` is set to false.
    """
    if not _are_removed(pipeline):
        return
    loaded = _loaded_folder(pipeline)
    packages = sorted(path for path in loaded.glob("*") if path.is_dir())
    for package in packages:
        if any((package / PackageStorage.FAILED_JOBS_FOLDER).glob("*")):
            continue
        if package == packages[-1]:
            shutil.rmtree(package / PackageStorage.COMPLETED_JOBS_FOLDER, ignore_errors=True)
        else:
            shutil.rmtree(package, ignore_errors=True)


def _loaded_folder(pipeline: dlt.Pipeline) -> Path:
    return Path(pipeline.working_dir) / "load" / LoadStorage.LOADED_FOLDER


def _are_removed(pipeline: dlt.Pipeline) -> bool:
    sections = (known_sections.LOAD,)
    name = pipeline.pipeline_name
    with inject_section(ConfigSectionContext(pipeline_name=name, sections=sections)):
        try:
            return resolve_configuration(PackageSettings()).delete_completed_jobs
        except ConfigValueCannotBeCoercedException:
            return True


# -- readable --------------------------------------------------------------------------------------


def remove_damaged_folder(name: str, pipelines_dir: str | None = None) -> None:
    """Remove a working folder with an unreadable state or schema, because ``dlt.pipeline`` fails on it.

    A power cut leaves files of length zero. Call this before ``dlt.pipeline``; the next sync restores the
    state from the destination. Nothing happens while a sync of the pipeline is running.

    Args:
        name: Pipeline name.
        pipelines_dir: Parent of the working folders; default: dlt's.
    """
    folder = Path(pipelines_dir or get_dlt_pipelines_dir()) / name
    is_plain = Path(name).name == name  # dlt refuses other names later
    if not is_plain or not (folder / STATE_FILE).is_file() or _is_readable(folder):
        return
    try:
        with locked(folder.with_name(f"{name}.lock"), ""):
            logger.warning(
                "the working folder %s was damaged; it is rebuilt from the destination, and rows that "
                "were read and not loaded are read again",
                folder,
            )
            shutil.rmtree(folder)
    except LockedError:
        return


def _is_readable(folder: Path) -> bool:
    try:
        state = json_decode_state((folder / STATE_FILE).read_text("utf-8"))
        schemas = [json.loads(path.read_bytes()) for path in (folder / SCHEMAS).glob("*.json")]
    except (ValueError, TypeError):
        return False
    return "_local" in state and all("tables" in schema for schema in schemas)
