"""Tokens that cannot be lost: OAuth2 with Exact Online's single-use refresh tokens."""

from .files import FileTokenStorage
from .oauth import OAuth
from .storage import TokenStorage
from .tokens import TokenData

__all__ = ["FileTokenStorage", "OAuth", "TokenData", "TokenStorage"]
