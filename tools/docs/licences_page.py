"""Writes ``docs/licences.md``: all packages that are installed with exact-source, and their licences.

    python -m tools.docs.licences_page

It reads the metadata of the environment that it runs in. Packages of extras that are not installed there
(Airflow, Dagster, dbt) are missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PAGE = Path(__file__).parents[2] / "docs" / "licences.md"
EXTRAS = ("", "postgres", "bigquery", "sandbox", "report", "webhooks", "otel")
HEAD = """\
# Licences

exact-source is licensed under Apache-2.0. The following packages are installed with it, directly or as
dependencies. `python -m tools.docs.licences_page` generates the list from their metadata. The last column
names the extra that adds a package. The packages of the extras `airflow`, `dagster` and `dbt` are not listed,
because your own platform determines them; `cyclonedx-py environment` lists those of your environment. Each
release has a bill of materials (CycloneDX) of the wheel without extras, with versions.

| package | licence | with |
|---|---|---|
"""
# Longer names of classifiers and texts -> SPDX.
SHORT = {
    "apache software license": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache-2": "Apache-2.0",
    "mit license": "MIT",
    "the mit license (mit)": "MIT",
    "bsd license": "BSD",
    "bsd-derived": "BSD",
    "isc license (iscl)": "ISC",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
    "gnu library or lesser general public license (lgpl)": "LGPL",
}


def installed(root: str = "exact-source") -> dict[str, tuple[Distribution, str]]:
    """Name -> distribution and the extra that it comes with, of all that ``root`` needs here."""
    found: dict[str, tuple[Distribution, str]] = {}
    for extra in EXTRAS:
        for name in _needed(root, extra):
            _add(name, extra, found)
    return dict(sorted(found.items()))


def licence_of(package: Distribution) -> str:
    """By its expression, else its classifiers, else its text; ``unknown`` if it names none."""
    metadata = package.metadata
    if expression := metadata.get_all("License-Expression"):
        return str(expression[0])
    classified = [
        value.rpartition(" :: ")[2]
        for value in metadata.get_all("Classifier", [])
        if value.startswith("License :: ") and not value.endswith("OSI Approved")
    ]
    (text, *_) = metadata.get_all("License") or ["unknown"]
    found = classified or text.splitlines()[:1]
    return " or ".join(SHORT.get(name.lower(), name) for name in found)


def page() -> str:
    """The page as it should be committed."""
    rows = [
        f"| {name} | {licence_of(package)} | {f'`[{extra}]`' if extra else ''} |"
        for name, (package, extra) in installed().items()
    ]
    return HEAD + "\n".join(rows) + "\n"


def _add(name: str, extra: str, found: dict[str, tuple[Distribution, str]]) -> None:
    if name in found:
        return
    try:
        found[name] = (distribution(name), extra)
    except PackageNotFoundError:  # its marker names another platform
        return
    for needed in _needed(name):
        _add(needed, extra, found)


def _needed(name: str, extra: str = "") -> Iterator[str]:
    for text in distribution(name).requires or ():
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or marker.evaluate({"extra": extra}):
            yield canonicalize_name(requirement.name)
            for more in requirement.extras:
                yield from _extras_of(requirement.name, more)


def _extras_of(name: str, extra: str) -> Iterator[str]:
    try:
        yield from _needed(name, extra)
    except PackageNotFoundError:
        return


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
