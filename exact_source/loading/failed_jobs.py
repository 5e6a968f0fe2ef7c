"""Load jobs that failed for good: dlt must not count what they held as loaded."""

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
    """Of dlt's settings of a load, the one that decides whether rows can be lost."""

    raise_on_failed_jobs: bool = True


def refuse_silent_failures(pipeline: dlt.Pipeline) -> None:
    """See that dlt ends a load of which a job failed, and does not list it as loaded all the same.

    It cannot be mended afterwards: the rows are not there, and the cursor that covers them is.

    Raises:
        ConfigurationError: If a setting of dlt says otherwise.
    """
    name = pipeline.pipeline_name
    # As the load will ask: for this pipeline first, then for all.
    with inject_section(ConfigSectionContext(pipeline_name=name, sections=(known_sections.LOAD,))):
        try:
            is_on = resolve_configuration(JobSettings()).raise_on_failed_jobs
        except ConfigValueCannotBeCoercedException:
            is_on = False
    if not is_on:
        raise ConfigurationError(
            "dlt's load.raise_on_failed_jobs is not true: rows that the destination refuses would count "
            f"as loaded and never be read again; remove it, or set {name}.load.raise_on_failed_jobs "
            "to true, which is for this pipeline alone"
        )


def with_failed_jobs(pipeline: dlt.Pipeline, load_ids: Iterable[str]) -> set[str]:
    """Those of ``load_ids`` of which a job failed, as far as the working folder tells.

    The destination does not: dlt lists such a package as loaded, if it was told to or a person gave
    the job up.
    """
    loaded = Path(pipeline.working_dir) / "load" / LoadStorage.LOADED_FOLDER
    failed = PackageStorage.FAILED_JOBS_FOLDER
    return {found for found in load_ids if any((loaded / found / failed).glob("*"))}
