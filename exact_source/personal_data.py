"""The columns that a user excludes or hashes, by name or by a preset for personal data."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

from .catalogue import Catalogue, Entity
from .catalogue.parameters import all_sources
from .errors import ConfigurationError
from .odata.guard import NO_GUARD, Guard

EVERY = "*"
SHORTEST_KEY = 16  # characters
# Fields that identify a person, contact details, and other facts about a person.
_PEOPLE = (
    r"Full[Nn]ame$|^(First|Middle|Last|Nick|Birth|Partner|User)Name(Prefix)?$|^Initials$|ContactName$|HolderName$"
    r"|^Address(Line\d|Street(Number(Suffix)?)?)$|^(Account)?City$|^Postcode$|^(Latitude|Longitude)$"
    r"|IBAN|^BICCode$|BankAccount(Number)?$|^SenderIPAddress$"
    r"|Phone(Extension)?$|Mobile$|Fax$"
    r"|E[Mm]ail$|^((Sender|Recipient)?Mailbox)(Description)?$"
    r"|^Birth(Date|Place)$|^SocialSecurityNumber$|^TaxIdentificationNumber$|^Gender$|^Marital|^Nationality$"
    r"|^PersonPicture"
)
# Names of customers and suppliers, which may be people.
_ACCOUNTS = (
    r"AccountName$|^(Trade|Customer|Supplier|Reseller)Name$"
    r"|^(Deliver|Delivered|Invoice)ToName$|^OrderedByName$"
)
PRESETS = {"personal": _PEOPLE, "account_names": _ACCOUNTS}
# Entities about the user's own companies, and about banks.
_OWN = frozenset(
    {
        "accountant_info",
        "all_divisions",
        "banks",
        "divisions",
        "get_most_recently_used_divisions",
        "hrm_divisions",
    }
)
# Fields that a preset covers in some entities only: preset, entity, field.
_ALSO = (
    *(
        ("personal", entity, f)
        for entity in ("contacts", "employees", "opportunity_contacts")
        for f in ("PictureFileName", "PictureName", "PictureThumbnailUrl", "PictureUrl")
    ),
    ("account_names", "accounts", "Name"),
)
_NEEDED = frozenset({"Division", "Timestamp", "Modified"})
_NEEDED_OF = {"divisions": frozenset({"Code", "Description", "BlockingStatus", "DivisionMoveDate"})}


@dataclass(frozen=True)
class Choice:
    """Columns that one setting names.

    Attributes:
        presets: Names of presets.
        columns: Entity, or ``*`` for every one, and column.
    """

    presets: frozenset[str] = frozenset()
    columns: frozenset[tuple[str, str]] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.presets or self.columns)

    def named(self, entity: Entity) -> frozenset[str]:
        """Fields of an entity that are named one by one."""
        return frozenset(
            f
            for f, column in entity.columns.items()
            if {(entity.name, column.name), (EVERY, column.name)} & self.columns
        )

    def preset(self, entity: Entity) -> frozenset[str]:
        """Fields of an entity that presets cover."""
        pattern = self.pattern(entity)
        found = {f for f in entity.columns if pattern is not None and pattern.search(f)}
        if entity.name == "journals":  # the company's own accounts
            found = {f for f in found if not f.startswith("Bank")}
        also = {f for preset, name, f in _ALSO if preset in self.presets and name == entity.name}
        return frozenset(found | also.intersection(entity.columns))

    def pattern(self, entity: Entity) -> re.Pattern[str] | None:
        """Matches the fields that presets cover, including fields that the catalogue does not know."""
        if not self.presets or entity.name in _OWN:
            return None
        return re.compile("|".join(PRESETS[name] for name in sorted(self.presets)))


@dataclass(frozen=True)
class PersonalData:
    """The excluded and hashed columns.

    A named column takes precedence over a preset. Columns of a preset that cannot be hashed because they are
    not text, such as a birth date, are left out.

    Attributes:
        exclude: Columns that are never requested.
        hash: Columns that are loaded as HMAC-SHA-256.
        key: Key of the hashes.
    """

    exclude: Choice = Choice()
    hash: Choice = Choice()
    key: str = field(default="", repr=False)

    def with_key(self, key: str) -> PersonalData:
        """The same choice with the key of its hashes.

        Raises:
            ConfigurationError: If something is hashed and the key is missing or short.
        """
        if self.hash and len(key) < SHORTEST_KEY:
            raise ConfigurationError(
                f"hash_columns needs sources.exact_online.hash_key with {SHORTEST_KEY} characters or more; "
                "put it in .dlt/secrets.toml and keep it, because another key gives other hashes"
            )
        return replace(self, key=key)

    def guard(self, entity: Entity) -> Guard:
        """The excluded and hashed fields of one entity."""
        if not self.exclude and not self.hash:
            return NO_GUARD
        needed = needed_fields(entity)
        left_out, hashed = self.exclude.named(entity), self.hash.named(entity)
        by_preset = self.hash.preset(entity) - left_out - needed
        texts = {f for f in by_preset if entity.columns[f].type_code == "s"}
        left_out |= (self.exclude.preset(entity) - hashed - needed) | (by_preset - texts - hashed)
        patterns = (self.exclude.pattern(entity), self.hash.pattern(entity))
        found = [pattern.pattern for pattern in patterns if pattern is not None]
        return Guard(
            left_out,
            frozenset(texts | hashed) - left_out,
            self.key.encode(),
            re.compile("|".join(found)) if found else None,
        )


NO_CHOICE = PersonalData()


def needed_fields(entity: Entity) -> frozenset[str]:
    """Fields that are required to read an entity, or a function whose parameters come from its rows."""
    names = {s.column for s in all_sources() if s.parent == entity.name}
    parents = {f for f, column in entity.columns.items() if column.name in names}
    own = {entity.division_from} if entity.division_from else set()
    if entity.name == "deleted":
        return frozenset(entity.columns)
    return (
        frozenset({*entity.key, *parents, *own})
        | _NEEDED
        | _NEEDED_OF.get(entity.name, frozenset())
    )


def parse_personal_data(exclude: object, hashed: object, catalogue: Catalogue) -> PersonalData:
    """The excluded and hashed columns according to two settings.

    Args:
        exclude: Names as ``parse_choice`` accepts them.
        hashed: The same.
        catalogue: Entities and their columns.

    Raises:
        ConfigurationError: If a name is unknown, is needed to read rows, or is in both settings; or if a
            column to be hashed is not text.
    """
    chosen = PersonalData(
        parse_choice("exclude_columns", exclude, catalogue),
        parse_choice("hash_columns", hashed, catalogue),
    )
    if twice := sorted(chosen.exclude.columns & chosen.hash.columns):
        raise ConfigurationError(
            f"{'.'.join(twice[0])} is in exclude_columns and in hash_columns; leave one of them out"
        )
    for entity_name, name in sorted(chosen.hash.columns):
        if entity_name != EVERY:
            _check_is_text(catalogue.entities[entity_name], name)
    return chosen


def _check_is_text(entity: Entity, name: str) -> None:
    (type_code,) = [c.type_code for c in entity.columns.values() if c.name == name]
    if type_code != "s":
        raise ConfigurationError(
            f"hash_columns: {entity.name}.{name} is not text, so it cannot be hashed; use exclude_columns"
        )


def parse_choice(setting: str, value: object, catalogue: Catalogue) -> Choice:
    """Columns of a setting.

    Args:
        setting: Its name, for messages.
        value: ``personal``, ``account_names``, ``accounts.email`` or ``*.email``, in a list or separated by
            commas; or entity -> list of columns.
        catalogue: Entities and their columns.

    Raises:
        ConfigurationError: If a column is unknown, or needed to read rows.
    """
    texts = _texts(value)
    presets = frozenset(texts) & PRESETS.keys()
    columns = {
        _column(setting, text, catalogue) for text in dict.fromkeys(texts) if text not in presets
    }
    return Choice(presets, frozenset(columns))


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(value, Mapping):
        return [f"{entity}.{name}" for entity, names in value.items() for name in _texts(names)]
    if value is None:
        return []
    return [str(part).strip() for part in value] if isinstance(value, Iterable) else [str(value)]


def _column(setting: str, text: str, catalogue: Catalogue) -> tuple[str, str]:
    entity_name, dot, name = text.partition(".")
    if not dot:
        raise ConfigurationError(
            f"{setting}: {text!r} is unknown; use {', '.join(PRESETS)}, or "
            "ENTITY.COLUMN such as accounts.email"
        )
    entities = _entities(setting, entity_name, catalogue)
    named = [(e, f) for e in entities for f, c in e.columns.items() if c.name == name]
    if not named:
        known = {c.name for e in entities for c in e.columns.values()}
        near = get_close_matches(name, sorted(known), n=1)
        hint = f"did you mean {near[0]}?" if near else "see `exact-source schema`"
        raise ConfigurationError(f"{setting}: {entity_name} has no column {name!r}; {hint}")
    if needed := sorted(e.name for e, f in named if f in needed_fields(e)):
        raise ConfigurationError(
            f"{setting}: {name} of {needed[0]} is needed to read or merge rows, so it is always loaded"
        )
    return entity_name, name


def _entities(setting: str, name: str, catalogue: Catalogue) -> list[Entity]:
    if name == EVERY:
        return list(catalogue.entities.values())
    if name not in catalogue.entities:
        near = get_close_matches(name, list(catalogue.entities), n=1)
        hint = f"did you mean {near[0]}?" if near else "see `exact-source entities`"
        raise ConfigurationError(f"{setting}: no entity is called {name!r}; {hint}")
    return [catalogue.entities[name]]
