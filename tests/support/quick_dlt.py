"""Makes dlt's configuration quicker: each load asks a thousand times what kind of type a hint is.

The answers depend on the hint alone, and took a fifth of the time of a load of a few rows.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

PURE = {
    "dlt.common.typing": (
        "extract_inner_type", "extract_type_if_modifier", "is_annotated", "is_any_type",
        "is_literal_type", "is_newtype_type", "is_optional_type", "is_subclass", "is_typeddict",
        "is_union_type",
    ),
    "dlt.common.configuration.specs.base_configuration": (
        "extract_inner_hint", "get_config_if_union_hint", "is_base_configuration_inner_hint",
        "is_credentials_inner_hint", "is_hint_not_resolvable", "is_secret_hint", "is_valid_hint",
    ),
}  # fmt: skip


def remember_types() -> None:
    """Replace these functions of dlt, which must have been imported, wherever they are used."""
    quicker: dict[int, Callable[..., Any]] = {}
    for module, names in PURE.items():
        for name in names:
            function = getattr(sys.modules[module], name)
            quicker[id(function)] = remembered(function)
    for name, module_of_dlt in list(sys.modules.items()):
        if name.partition(".")[0] == "dlt":
            for attribute, value in list(vars(module_of_dlt).items()):
                if id(value) in quicker:
                    setattr(module_of_dlt, attribute, quicker[id(value)])
    _remember_fields()


def remembered(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that computes each result once.

    Two hints may be equal and differ in the order of a union's members, so identity counts. The
    arguments are kept with the result, because otherwise another hint could get the same identity.
    """
    results: dict[Any, tuple[Any, Any]] = {}

    @wraps(function)
    def with_memory(*arguments: Any, **options: Any) -> Any:
        key = (*map(id, arguments), *options.items())
        found = results.get(key)
        if found is None:
            found = results[key] = arguments, function(*arguments, **options)
        return found[1]

    return with_memory


def _remember_fields() -> None:
    """Evaluate the annotations of each class of settings once."""
    from dlt.common.configuration.specs.base_configuration import BaseConfiguration

    compute: Any = BaseConfiguration.get_resolvable_fields
    fields: dict[type, dict[str, type]] = {}

    def get_resolvable_fields(cls: type) -> dict[str, type]:
        if cls not in fields:
            fields[cls] = compute.__func__(cls)
        return dict(fields[cls])

    replacement: Any = classmethod(get_resolvable_fields)
    BaseConfiguration.get_resolvable_fields = replacement  # type: ignore[method-assign]
