"""Tokens that cannot be lost: OAuth2 with Exact Online's single-use refresh tokens.

Nothing here imports dlt, SQLAlchemy or cryptography before a storage that needs it is created.
"""

from .oauth import OAuth, parse_redirect
from .storage.cipher import new_key
from .storage.dlt_state import DltStateTokenStorage
from .storage.file import FileTokenStorage
from .storage.from_settings import storage_from_settings
from .storage.protocol import TokenStorage
from .storage.sql import SqlTokenStorage
from .tokens import TokenData, TokenDataError

__all__ = [
    "DltStateTokenStorage",
    "FileTokenStorage",
    "OAuth",
    "SqlTokenStorage",
    "TokenData",
    "TokenDataError",
    "TokenStorage",
    "new_key",
    "parse_redirect",
    "storage_from_settings",
]
