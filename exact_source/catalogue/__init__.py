"""The entities that can be read: their endpoints, columns, keys and rules."""

from .catalogue import Catalogue, Column, Cursor, Entity, Feed, Kind, load_catalogue
from .naming import snake
from .selection import choose_entities

__all__ = [
    "Catalogue",
    "Column",
    "Cursor",
    "Entity",
    "Feed",
    "Kind",
    "choose_entities",
    "load_catalogue",
    "snake",
]
