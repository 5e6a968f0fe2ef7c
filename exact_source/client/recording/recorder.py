"""Writes masked replies into a folder, one file each, and checks that no original value is left."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from ...errors import ConfigurationError
from .documents import Documents, leaks_of
from .masks import Masks, new_masks

VERSION = 1
HEAD, REPLIES = "recording.json", "replies"
HEADERS = (
    "content-type",
    "dataserviceversion",
    "date",
    "retry-after",
    "x-ratelimit-limit",
    "x-ratelimit-minutely-limit",
    "x-ratelimit-minutely-remaining",
    "x-ratelimit-minutely-reset",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
)


class Recorder:
    """Records the replies that an observer sees.

    Args:
        folder: A folder that is empty or does not exist.
        origin: Origin of the site.
        masks: Masks values; default: with new secrets.

    Raises:
        ConfigurationError: If the folder is not empty or cannot be created.

    Attributes:
        count: Replies so far.
        folder: The folder.
    """

    def __init__(self, folder: Path, origin: str, masks: Masks | None = None) -> None:
        self.masks = masks or new_masks()
        self.count = 0
        self.folder = folder
        self._documents = Documents(self.masks, origin)
        self._lock = threading.Lock()
        try:
            self._is_new = not folder.exists()
            if not self._is_new and any(folder.iterdir()):
                raise FileExistsError(0, "it holds other files")
            (folder / REPLIES).mkdir(parents=True)
            (folder / HEAD).write_text(json.dumps({"version": VERSION}) + "\n", "utf-8")
        except OSError as error:
            raise ConfigurationError(
                f"--record {folder} cannot be used: {error.strerror}; name a new folder"
            ) from None

    def observe(self, request: httpx.Request, response: httpx.Response) -> None:
        """Write one reply."""
        url = str(request.url)
        path = endpoint_of(url)
        kind = response.headers.get("content-type", "")
        with self._lock:
            self.count += 1
            document = {
                "url": self._documents.address(url),
                "status": response.status_code,
                "headers": {n: response.headers[n] for n in HEADERS if n in response.headers},
                "body": self._documents.body(
                    path, url, response.status_code, kind, response.content
                ),
            }
            file = self.folder / REPLIES / f"{self.count:06}.json"
            file.write_text(json.dumps(document, ensure_ascii=False) + "\n", "utf-8")

    def discard(self) -> None:
        """Delete the files of a recording without replies, and the folder if it is new."""
        (self.folder / HEAD).unlink()
        (self.folder / REPLIES).rmdir()
        if self._is_new:
            self.folder.rmdir()

    def check(self) -> None:
        """Search all files for values that are not masked.

        Raises:
            ConfigurationError: If there is one; the folder must not be shared.
        """
        for file in sorted((self.folder / REPLIES).iterdir()):
            document = json.loads(file.read_text("utf-8"))
            path = endpoint_of(document["url"])
            if fields := sorted(set(leaks_of(self.masks, path, document["body"]))):
                raise ConfigurationError(
                    f"--record {self.folder}: {file.name} holds values that are not masked, in "
                    f"{', '.join(fields)}; delete the folder and report this line"
                )


def endpoint_of(url: str) -> str:
    """The path after the division, without keys: ``crm/Accounts``."""
    path = urlsplit(url).path.partition("/api/v1/")[2].partition("(")[0]
    parts = path.strip("/").split("/")
    is_beta = parts[0] == "beta"
    rest = parts[1:] if is_beta else parts
    if rest and rest[0].isdigit():
        rest = rest[1:]
    rest = [part for part in rest if not part.startswith("$")]
    return "/".join((["beta"] if is_beta else []) + rest)
