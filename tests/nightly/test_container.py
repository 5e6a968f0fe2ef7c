"""The image of the Containerfile, built and run; its base is Debian's own Python, as no registry is asked."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.airflow_kit import tell_real_time
from tests.support.world import World

ROOT = Path(__file__).parents[2]
TOOLS = ("buildah", "crun", "debootstrap")
IMAGE = "localhost/exact-source-test"
DEBIAN = os.environ.get("EXACT_TEST_DEBIAN", "http://deb.debian.org/debian")
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"

pytestmark = [
    pytest.mark.proofs,
    pytest.mark.xdist_group("container"),  # one image for all
    pytest.mark.skipif(
        os.geteuid() != 0 or not all(map(shutil.which, TOOLS)),
        reason=f"needs root and {', '.join(TOOLS)}, which are packages of Debian",
    ),
    pytest.mark.timeout(1800),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """Settings with which buildah keeps its images in a folder of the test's own."""
    folder = tmp_path_factory.mktemp("images")
    yield {
        **os.environ, "BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": "overlay",
        "HOME": str(folder), "TMPDIR": str(folder),
        "CONTAINERS_STORAGE_CONF": str(write_settings(folder)),
    }  # fmt: skip
    shutil.rmtree(folder, ignore_errors=True)


def write_settings(folder: Path) -> Path:
    file = folder / "storage.conf"
    places = f'graphroot = "{folder}/graph"\nrunroot = "{folder}/run"\n'
    file.write_text(f'[storage]\ndriver = "overlay"\n{places}')
    return file


def base_image() -> str:
    """The base that the Containerfile names."""
    lines = (ROOT / "Containerfile").read_text().splitlines()
    return next(line.removeprefix("ARG BASE=") for line in lines if line.startswith("ARG BASE="))


def run(store: Mapping[str, str], *command: str) -> str:
    done = subprocess.run(command, env=store, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


@pytest.fixture(scope="module")
def base(store: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> None:
    """An image of the base's name: Debian 13, whose Python is 3.13."""
    root = tmp_path_factory.mktemp("debian") / "root"
    packages = "--include=python3,python3-venv,python3-pip,ca-certificates"
    run(store, "debootstrap", "--variant=minbase", packages, "trixie", str(root), DEBIAN)
    shutil.copy(CERTIFICATES, root / CERTIFICATES[1:])  # of whatever stands in front of PyPI
    (root / "usr/bin/python").symlink_to("python3")
    container = run(store, "buildah", "from", "scratch")
    run(store, "buildah", "copy", "--quiet", container, str(root), "/")
    run(store, "buildah", "config", "--env", "PATH=/usr/bin:/bin:/usr/sbin:/sbin", container)
    run(store, "buildah", "commit", "--quiet", container, base_image())
    run(store, "buildah", "rm", container)
    shutil.rmtree(root)


@pytest.fixture(scope="module")
def container(store: Mapping[str, str], base: None) -> str:
    """A container of the image."""
    environment = ("--env", f"PIP_CERT={CERTIFICATES}")
    run(
        store, "buildah", "build", "--pull=never", "--network=host", *environment,
        "--tag", IMAGE, "--file", "Containerfile", ".",
    )  # fmt: skip
    return run(store, "buildah", "from", "--pull=never", IMAGE)


def test_a_sync_in_the_image_writes_nowhere_but_in_the_volume_and_tmp(
    store: Mapping[str, str], container: str, world: World
) -> None:
    """As the manifest for Kubernetes demands, which makes everything else read-only."""
    tell_real_time(world)
    box = world.box
    settings = {
        "CLIENT_ID": box.client_id, "CLIENT_SECRET": box.client_secret,
        "REDIRECT_URI": box.redirect_uri, "BASE_URL": world.base_url,
        "TOKEN_FILE": "/data/exact_online_tokens.json",
    }  # fmt: skip
    given = [f"--env=SOURCES__EXACT_ONLINE__{name}={value}" for name, value in settings.items()]
    sync = "exact-source sync --destination duckdb:/data/books.duckdb --entities accounts"
    written = "find / -xdev -newer /data/mark ! -type d ! -path '/data/*' ! -path '/tmp/*'"
    said = run(
        store, "buildah", "run", *given, "--env=HOME=/data", container, "--", "sh", "-ec",
        f"touch /data/mark; exact-source login --code {box.login()['code']} 2>&1; "
        f"{sync} 2>&1; echo written:; {written} 2>/dev/null || true",
    )  # fmt: skip

    assert "complete: " in said
    assert said.partition("written:")[2].split() == []


def test_the_image_runs_the_command_as_a_user_without_rights(
    store: Mapping[str, str], container: str
) -> None:
    def inside(command: str) -> str:
        return run(store, "buildah", "run", container, "--", "sh", "-c", command)

    asked = "exact-source sync --destination=duckdb:/data/x.duckdb 2>&1; echo exit code $?"
    missing, code = inside(asked).splitlines()
    assert inside("id -u; pwd").split() == ["10001", "/data"]
    assert inside("exact-source --version")
    assert inside("touch /data/here && echo written") == "written"
    assert inside("touch /opt/exact/here 2>/dev/null || echo refused") == "refused"
    assert (missing.split(": ")[0], code) == ("error", "exit code 2")
