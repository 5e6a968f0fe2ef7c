"""``$filter``: parses the text into a test of rows (API 3.3).

Supported: eq ne gt ge lt le, and or not, parentheses, and the functions of ``FUNCTIONS``. A comparison
has a column on one side and a literal on the other; two columns cannot be compared.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..data.catalogue import Row
from ..http.errors import NO_SUCH_PROPERTY, bad_request
from .literals import NUMERIC, Token, tokens

Read = Callable[[Row], Any]
LITERAL_KINDS = {"guid": "g", "datetime": "t", "string": "s", "number": "n", "bool": "b"}
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
}
# name -> kinds of the arguments, kind of the result, implementation
FUNCTIONS: dict[str, tuple[str, str, Callable[..., Any]]] = {
    "substringof": ("ss", "b", lambda part, text: part.lower() in text.lower()),
    "startswith": ("ss", "b", lambda text, part: text.lower().startswith(part.lower())),
    "endswith": ("ss", "b", lambda text, part: text.lower().endswith(part.lower())),
    "trim": ("s", "s", str.strip),
    "tolower": ("s", "s", str.lower),
    "toupper": ("s", "s", str.upper),
    "length": ("s", "n", len),
    "year": ("t", "n", lambda moment: moment.year),
    "month": ("t", "n", lambda moment: moment.month),
    "day": ("t", "n", lambda moment: moment.day),
}


@dataclass(frozen=True)
class Filter:
    """A parsed ``$filter``: the columns that it uses, and a test of a row."""

    fields: frozenset[str]
    matches: Callable[[Row], bool]


@dataclass(frozen=True)
class Operand:
    """A part of an expression: its kind, its value in a row, and whether it is a column."""

    kind: str  # g t s n b, or null
    read: Read
    column: bool = False


def parse_filter(
    text: str, columns: Mapping[str, str], defaults: Mapping[str, Any], model: str = ""
) -> Filter:
    """Parse a ``$filter``.

    Args:
        text: The decoded option.
        columns: Type code by column of the endpoint.
        defaults: Values of columns that rows omit.
        model: Type name of the rows, for the refusal of an unknown column.

    Raises:
        RefusedError: 400, for anything that Exact would refuse.
    """
    parser = _Parser(tokens(text), columns, defaults, model)
    whole = parser.disjunction()
    parser.expect("end", None)
    if whole.kind != "b":
        raise bad_request()
    read = whole.read
    return Filter(frozenset(parser.fields), lambda row: bool(read(row)))


class _Parser:
    """Recursive descent over the tokens: or, and, not, comparison, operand."""

    def __init__(
        self,
        found: list[Token],
        columns: Mapping[str, str],
        defaults: Mapping[str, Any],
        model: str,
    ) -> None:
        self._tokens = found
        self._at = 0
        self._columns = columns
        self._defaults = defaults
        self._model = model
        self.fields: set[str] = set()

    def disjunction(self) -> Operand:
        left = self._conjunction()
        while self._take_word("or"):
            left = _both(left, self._conjunction(), any)
        return left

    def _conjunction(self) -> Operand:
        left = self._negation()
        while self._take_word("and"):
            left = _both(left, self._negation(), all)
        return left

    def _negation(self) -> Operand:
        if not self._take_word("not"):
            return self._comparison()
        inner = _boolean(self._negation()).read
        return Operand("b", lambda row: not inner(row))

    def _comparison(self) -> Operand:
        left = self._operand()
        token = self._peek()
        if token.kind == "name" and token.value in COMPARISONS:
            self._at += 1
            return _compare(token.value, left, self._operand())
        return left

    def _operand(self) -> Operand:
        token = self._next()
        if token.matches("mark", "("):
            inner = self.disjunction()
            self.expect("mark", ")")
            return inner
        if token.kind == "name":
            if self._peek().matches("mark", "("):
                return self._function(token.value)
            return self._column(token)
        if token.kind == "null":
            return Operand("null", lambda _: None)
        if token.kind not in LITERAL_KINDS:
            raise bad_request()
        value = comparable(token.value)
        return Operand(LITERAL_KINDS[token.kind], lambda _: value)

    def _column(self, token: Token) -> Operand:
        name = token.value
        if name not in self._columns:
            raise bad_request(NO_SUCH_PROPERTY.format(name, self._model, token.at))
        self.fields.add(name)
        default, type_code = self._defaults.get(name), self._columns[name]
        kind = "n" if type_code in NUMERIC else "s" if type_code == "x" else type_code
        if kind == "s":
            return Operand(kind, lambda row: comparable(row.get(name, default)), column=True)
        return Operand(kind, lambda row: row.get(name, default), column=True)

    def _function(self, name: str) -> Operand:
        if name not in FUNCTIONS:
            raise bad_request()
        kinds, result, function = FUNCTIONS[name]
        arguments = []
        for index, kind in enumerate(kinds):
            self.expect("mark", "," if index else "(")
            argument = self._operand()
            if argument.kind != kind:
                raise bad_request()
            arguments.append(argument.read)
        self.expect("mark", ")")
        return Operand(result, _call(function, arguments), column=True)

    def _peek(self) -> Token:
        return self._tokens[self._at]

    def _next(self) -> Token:
        token = self._tokens[self._at]
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token

    def _take_word(self, word: str) -> bool:
        if not self._peek().matches("name", word):
            return False
        self._at += 1
        return True

    def expect(self, kind: str, value: Any) -> None:
        if not self._next().matches(kind, value):
            raise bad_request()


def comparable(value: Any) -> Any:
    """A value in the form for comparisons as in SQL Server: case and trailing spaces are ignored."""
    return value.rstrip(" ").lower() if isinstance(value, str) else value


def _call(function: Callable[..., Any], arguments: list[Read]) -> Read:
    def read(row: Row) -> Any:
        values = [argument(row) for argument in arguments]
        return None if None in values else function(*values)

    return read


def _boolean(operand: Operand) -> Operand:
    if operand.kind != "b":
        raise bad_request()
    return operand


def _both(left: Operand, right: Operand, combine: Callable[[Any], bool]) -> Operand:
    first, second = _boolean(left).read, _boolean(right).read
    if combine is all:
        return Operand("b", lambda row: first(row) and second(row))
    return Operand("b", lambda row: first(row) or second(row))


def _compare(name: str, left: Operand, right: Operand) -> Operand:
    if left.column == right.column:  # two columns, or two literals (API 3.3)
        raise bad_request()
    kinds = {left.kind, right.kind} - {"null"}
    if len(kinds) != 1 or ("null" in {left.kind, right.kind} and name not in {"eq", "ne"}):
        raise bad_request()
    compare, first, second = COMPARISONS[name], left.read, right.read
    if name in {"eq", "ne"}:
        return Operand("b", lambda row: compare(first(row), second(row)))
    return Operand("b", lambda row: _ordered(compare, first(row), second(row)))


def _ordered(compare: Callable[[Any, Any], bool], left: Any, right: Any) -> bool:
    """Compare two values; null and values of another type are neither greater nor less."""
    if left is None or right is None:
        return False
    if isinstance(left, datetime | str) != isinstance(right, datetime | str):
        return False
    return compare(left, right)
