"""Every entity that can be read, by which feed, with its columns, keys and rules."""

from .catalogue import Catalogue, Column, Cursor, Entity, Feed, Kind, load_catalogue
from .naming import snake

__all__ = [
    "Catalogue",
    "Column",
    "Cursor",
    "Entity",
    "Feed",
    "Kind",
    "load_catalogue",
    "snake",
]
