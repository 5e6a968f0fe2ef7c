"""A Python that this machine does not have, from Debian's testing release, with that release's C library.

Nothing is installed: the packages are unpacked into a folder under ``.environments/``. It needs ``dpkg``.
"""

from __future__ import annotations

import lzma
import re
import shutil
import subprocess
from pathlib import Path
from urllib.request import urlopen

from filelock import FileLock

MIRROR = "http://deb.debian.org/debian"
RELEASE = "forky"
LIBRARIES = (
    "libc6", "libgcc-s1", "libstdc++6", "zlib1g", "libssl3t64", "libffi8", "libexpat1",
    "libsqlite3-0", "libbz2-1.0", "liblzma5", "libuuid1", "libzstd1",
)  # fmt: skip


def debian_python(version: str, folder: Path, patchelf: Path) -> Path | None:
    """An interpreter such as ``3.14`` in ``folder``; None without dpkg or if Debian has no such package."""
    if shutil.which("dpkg") is None:
        return None
    python = folder / "usr" / "bin" / f"python{version}"
    with FileLock(folder.with_suffix(".lock")):
        if not python.exists():
            names = (
                f"lib{python.name}-minimal",
                f"lib{python.name}-stdlib",
                f"{python.name}-minimal",
            )
            files = _files()
            if not files.keys() >= {*LIBRARIES, *names}:
                return None
            begun = folder.with_suffix(".begun")
            shutil.rmtree(begun, ignore_errors=True)
            for name in (*LIBRARIES, *names):
                _unpack(f"{MIRROR}/{files[name]}", begun)
            _use_own_libraries(begun / python.relative_to(folder), folder, patchelf)
            begun.rename(folder)
    return python


def _files() -> dict[str, str]:
    """The path of each package on the mirror."""
    kind = _run("dpkg", "--print-architecture").strip()
    with urlopen(f"{MIRROR}/dists/{RELEASE}/main/binary-{kind}/Packages.xz") as answer:
        text = lzma.decompress(answer.read()).decode()
    return dict(re.findall(r"^Package: (\S+)$.*?^Filename: (\S+)$", text, re.MULTILINE | re.DOTALL))


def _unpack(address: str, folder: Path) -> None:
    package = folder.with_suffix(".deb")
    with urlopen(address) as answer:
        package.write_bytes(answer.read())
    _run("dpkg", "-x", package, folder)
    package.unlink()


def _use_own_libraries(python: Path, folder: Path, patchelf: Path) -> None:
    """Tell the interpreter where its libraries are once its files lie in ``folder``."""
    (loader,) = python.parents[1].glob("lib/*-linux-gnu*/ld-linux-*")
    loader = folder / loader.relative_to(python.parents[2])
    _run(
        patchelf, "--set-interpreter", loader, "--force-rpath", "--set-rpath", loader.parent, python
    )


def _run(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
