"""What is published: built twice and the same, accepted by the checks of an index, with its licences."""

from __future__ import annotations

import email
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from itertools import chain
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from exact_source._version import __version__
from tests.support.environments import environment, python_of
from tools.docs.licences_page import PAGE, installed, licence_of

pytestmark = [pytest.mark.timeout(1800)]

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = ("", *PROJECT["optional-dependencies"])
LARGE = ("airflow", "dagster", "dbt")
SMALL = [name for name in PROJECT["optional-dependencies"] if name not in LARGE]
PERMITTED = re.compile(
    r"Apache-2\.0|MIT|MIT-0|(3-Clause )?BSD\b.*|ISC|PSF-2\.0|MPL-2\.0|LGPL|0BSD|Zlib|CC0-1\.0|AFL-2\.1"
)
PYTHONS = [
    text.rpartition(" ")[2]
    for text in PROJECT["classifiers"]
    if re.search(r"Python :: 3\.\d+$", text)
]
WORKS = """
import importlib.metadata, exact_source
from exact_source import exact_online, run_to_end, OAuth
assert importlib.metadata.version("exact-source") == exact_source.__version__
source = exact_online(entities=["accounts"], client_id="-", client_secret="-")
assert list(source.resources)[0] == "accounts"
"""


def python() -> Path:
    return environment("publishing", ROOT / "tests" / "support" / "publishing_requirements.txt")


def run(*command: str | Path, cwd: Path = ROOT, **variables: str) -> str:
    own = {**os.environ, "UV_CACHE_DIR": str(ROOT / ".environments" / "uv"), **variables}
    done = subprocess.run(command, cwd=cwd, env=own, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("dist"))


def build(folder: Path) -> Path:
    run(
        python(),
        "-m",
        "build",
        "--no-isolation",
        "--outdir",
        folder,
        SOURCE_DATE_EPOCH="1764374400",
    )
    return folder


def test_two_builds_are_the_same(built: Path, tmp_path: Path) -> None:
    again = build(tmp_path / "again")
    files = sorted(path.name for path in built.iterdir())
    assert [Path(name).suffix for name in files] == [".whl", ".gz"]
    assert files == sorted(path.name for path in again.iterdir())
    for name in files:
        assert (built / name).read_bytes() == (again / name).read_bytes()


def test_an_index_takes_what_is_built(built: Path) -> None:
    tools, files = python().parent, list(built.iterdir())
    run(tools / "twine", "check", "--strict", *files)
    run(tools / "check-wheel-contents", *built.glob("*.whl"))


def test_the_page_of_the_index_names_people_places_and_pythons(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith("METADATA")]
        metadata = email.message_from_string(archive.read(name).decode())
    urls = dict(text.split(", ") for text in metadata.get_all("Project-URL", []))

    assert metadata["Version"] == __version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Author"]
    assert "Author-email" not in metadata  # there is no address that is read
    assert {"Homepage", "Documentation", "Source", "Changelog", "Issues"} <= set(urls)
    links = re.findall(r"\]\(([^)#]+)", str(metadata.get_payload()))
    assert [link for link in links if "://" not in link] == []


def test_the_changelog_has_the_version_and_its_date() -> None:
    first = re.search(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert first is not None
    assert re.fullmatch(rf"{re.escape(__version__)} \(\d{{4}}-\d\d-\d\d\)", first[1])


@pytest.mark.parametrize("name", ["kubernetes.yaml", "kestra.yml"])
def test_the_image_that_a_file_names_has_the_version(name: str) -> None:
    text = (ROOT / "pipelines" / name).read_text()
    assert re.findall(r"exact-source:([\w.]+)$", text, re.MULTILINE) == [__version__]


def test_a_release_needs_no_stored_token_and_lists_its_dependencies() -> None:
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text()
    jobs = yaml.safe_load(text)["jobs"]
    publish, build_steps = jobs["publish"], jobs["build"]["steps"]
    (upload,) = [s for s in publish["steps"] if "pypi-publish" in s.get("uses", "")]
    kept = {
        s["with"]["name"]: s["with"]["path"]
        for s in build_steps
        if "upload-artifact" in s.get("uses", "")
    }
    (bill,) = re.findall(r"cyclonedx-py .*--output-file (\S+)", text)
    (told,) = [s["run"] for s in jobs["release"]["steps"] if "run" in s]

    assert yaml.safe_load(text)["permissions"] == {}
    assert publish["permissions"] == {"id-token": "write"}
    assert publish["environment"]["name"] == "pypi"
    assert publish["needs"] == "build"
    assert "with" not in upload  # neither a user nor a password
    assert "secrets." not in text
    assert kept == {"dist": "dist/", "sbom": bill}
    assert "files/*/*" in told  # every artifact, so the bill of materials, too


def test_every_licence_is_known_and_permitted() -> None:
    found = {name: licence_of(package) for name, (package, _) in installed().items()}
    parts = {p for text in found.values() for p in re.split(r" (?:AND|OR|or) |[()]", text) if p}
    assert [part for part in sorted(parts) if not PERMITTED.fullmatch(part)] == []
    listed = re.findall(r"^\| (\S+) \|.*\| (?:`\[(\w+)\]`)? ?\|$", PAGE.read_text(), re.MULTILINE)
    with_extra = {name: extra for name, (_, extra) in installed().items()}
    assert dict(listed) == with_extra, "run python -m tools.docs.licences_page"


def test_the_bill_of_materials_lists_the_dependencies(tmp_path: Path) -> None:
    file = tmp_path / "exact-source.cdx.json"
    run(python().with_name("cyclonedx-py"), "environment", sys.executable, "--output-format", "JSON",
        "--output-file", file)  # fmt: skip
    names = {part["name"] for part in json.loads(file.read_text())["components"]}
    assert {"dlt", "httpx", "pendulum", "duckdb", "pyarrow"} <= names


@pytest.mark.parametrize("extras", [SMALL, *([name] for name in LARGE)], ids=",".join)
def test_the_newest_python_gets_wheels_of_the_same_versions(extras: list[str]) -> None:
    """It needs no interpreter of that version, which may be missing; the next test runs one."""
    groups = PROJECT["optional-dependencies"]
    needs = [*PROJECT["dependencies"], *chain.from_iterable(groups[name] for name in extras)]
    names = {canonicalize_name(Requirement(text).name) for text in needs}
    previous, newest = (resolved(version, extras) for version in PYTHONS[-2:])
    assert {name: newest[name] for name in names} == {name: previous[name] for name in names}


def resolved(version: str, extras: list[str]) -> dict[str, str]:
    """The packages that are installed with a version of Python, from wheels only."""
    options = ("--quiet", "--no-header", "--no-annotate", "--only-binary", ":all:")
    uv, chosen = Path(sys.executable).with_name("uv"), [f"--extra={name}" for name in extras]
    text = run(
        uv, "pip", "compile", *options, "--python-version", version, *chosen, "pyproject.toml"
    )
    return dict(re.findall(r"^([a-z0-9._-]+)(?:\[[^]]*\])?==(\S+)", text, re.MULTILINE))


@pytest.mark.proofs
@pytest.mark.parametrize("version", PYTHONS)
@pytest.mark.parametrize("extra", EXTRAS, ids=lambda name: name or "none")
def test_the_wheel_works_with_each_python(
    built: Path, tmp_path: Path, version: str, extra: str
) -> None:
    (wheel,) = built.glob("*.whl")
    uv, interpreter = Path(sys.executable).with_name("uv"), python_of(version)
    own = tmp_path / "venv" / "bin" / "python"
    run(uv, "venv", "--quiet", "--python", interpreter, tmp_path / "venv")
    run(
        uv,
        "pip",
        "install",
        "--quiet",
        "--python",
        own,
        f"{wheel}[{extra}]" if extra else str(wheel),
    )
    run(own, "-c", WORKS, cwd=tmp_path)
    assert "Commands:" in run(own.with_name("exact-source"), "--help", cwd=tmp_path)
