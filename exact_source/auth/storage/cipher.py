"""Encryption of stored tokens with Fernet; keys can be rotated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import ConfigurationError, TokenStoreError
from ...settings import SECTION

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

START_ANEW = "run `exact-source logout`, then `exact-source login`"


class Cipher:
    """Encrypts with the newest key, decrypts with any.

    Args:
        keys: Fernet keys, newest first, separated by commas.

    Raises:
        ConfigurationError: If one is not a Fernet key.
    """

    def __init__(self, keys: str) -> None:
        from cryptography.fernet import Fernet, MultiFernet

        try:
            fernets = [Fernet(key.strip()) for key in keys.split(",") if key.strip()]
            self._fernet: MultiFernet = MultiFernet(fernets)
        except ValueError:
            raise ConfigurationError(
                f"{SECTION}.token_key is not a Fernet key (or a comma-separated list of them): make "
                "one with `exact-source tokens --new-key`"
            ) from None

    def encrypt(self, text: str) -> str:
        """Printable ciphertext."""
        return self._fernet.encrypt(text.encode()).decode()

    def decrypt(self, text: str, place: str) -> str:
        """The inverse of ``encrypt``.

        Args:
            text: Ciphertext.
            place: Where it is stored, for the error message.

        Raises:
            TokenStoreError: If no key fits, or the text is damaged; Fernet cannot tell which.
        """
        from cryptography.fernet import InvalidToken

        try:
            return self._fernet.decrypt(text.encode()).decode()
        except (InvalidToken, ValueError):
            raise TokenStoreError(
                f"{place} cannot be decrypted: {SECTION}.token_key is not the key it was written "
                "with, or it is damaged; nothing was changed: set the right key, or "
                f"{START_ANEW}"
            ) from None


def need_cipher(key: str | None, storage: str) -> Cipher:
    """The cipher of a storage that others can read.

    Raises:
        ConfigurationError: If there is no key.
    """
    if not key:
        raise ConfigurationError(
            f"{storage} needs a key, because whoever can query the database could use the tokens: "
            f"make one with `exact-source tokens --new-key` and set {SECTION}.token_key"
        )
    return Cipher(key)


def new_key() -> str:
    """A new Fernet key."""
    from cryptography.fernet import Fernet

    return Fernet.generate_key().decode()
