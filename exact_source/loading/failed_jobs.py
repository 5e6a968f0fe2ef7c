"""Load jobs that failed terminally; dlt must not count their rows as loaded."""

from __future__ import annotations

from collections.abc import Iterable
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
from dlt.common.storages.load_package import PackageStorage
from dlt.common.storages.load_storage import LoadStorage

from ..errors import ConfigurationError


@configspec
class JobSettings(BaseConfiguration):
    """The setting of dlt's load step that decides whether rows can be lost."""

    raise_on_failed_jobs: bool = True


def refuse_silent_failures(pipeline: dlt.Pipeline) -> None:
    """Require that dlt fails a package when one of its jobs fails.

    Otherwise the rows of a failed job would be missing for good, because their cursor is stored.

    Raises:
        ConfigurationError: If dlt is set to ignore failed jobs.
    """
    name = pipeline.pipeline_name
    # Resolved as in the load step: for this pipeline first, then for all.
    with inject_section(ConfigSectionContext(pipeline_name=name, sections=(known_sections.LOAD,))):
        try:
            is_on = resolve_configuration(JobSettings()).raise_on_failed_jobs
        except ConfigValueCannotBeCoercedException:
            is_on = False
    if not is_on:
        raise ConfigurationError(
            "dlt's load.raise_on_failed_jobs is not true: rows that the destination refuses would count "
            f"as loaded and never be read again; remove it, or set {name}.load.raise_on_failed_jobs "
            "to true, which applies to this pipeline only"
        )


def with_failed_jobs(pipeline: dlt.Pipeline, load_ids: Iterable[str]) -> set[str]:
    """The load ids of packages with a failed job in the working folder.

    The destination does not show these failures: dlt lists such a package as loaded if it is set to ignore
    failed jobs, or if a job was abandoned manually.
    """
    loaded = Path(pipeline.working_dir) / "load" / LoadStorage.LOADED_FOLDER
    failed = PackageStorage.FAILED_JOBS_FOLDER
    return {found for found in load_ids if any((loaded / found / failed).glob("*"))}
