"""Wording that messages of all layers share."""


def plural(count: int, one: str, many: str = "") -> str:
    """A number and its noun: ``1 call``, ``1,200 calls``.

    Args:
        count: Number.
        one: Noun in the singular.
        many: Noun in the plural, if it does not just take an *s*.
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"
