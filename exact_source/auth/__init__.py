"""Tokens that cannot be lost: OAuth2 with Exact Online's single-use refresh tokens.

Nothing here imports dlt, SQLAlchemy or cryptography before a storage that needs it is made.
"""

from .choice import storage_from_settings
from .dlt_state import DltStateTokenStorage
from .encryption import new_key
from .files import FileTokenStorage
from .oauth import OAuth, parse_redirect
from .sql import SqlTokenStorage
from .storage import TokenStorage
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
