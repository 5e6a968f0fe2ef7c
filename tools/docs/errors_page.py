"""Writes ``docs/errors.md``: every kind of error and every message, as the source has them.

    python -m tools.docs.errors_page

A test fails if the page that is committed is not the one that this makes.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import exact_source
from exact_source.errors import STREAM_CODES, ExactError

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"
LONGEST_NAME = 2  # parts of an expression that still tell a person something
HEAD = """\
# Errors

All errors that the project raises itself, generated from its source by `python -m tools.docs.errors_page`.
A command that ends with one prints it as one line on stderr, with `error: ` in front and without a
traceback; with `--log-format json` the line also has the `code` and the `exit_code` below. In Python they
are exceptions of `exact_source.errors`, all of them `ExactError`; dlt wraps them in `PipelineStepFailed`,
as its `__cause__`. A script that calls `exact_source.run_script` prints them as a command does.

One bad stream does not end a sync. At the end, streams that failed or were refused with the same message
share one line, and the companies with problems are listed by code and name; `--problems` lists every stream
with its `code` and message. With `--log-format json` each stream has a line of its own, with `code`,
`entity`, `division`, and `permanent` if running again would not help; the last line has the `exit_code` and
the `code` of the worst stream. The same `code` is in the column of that name in `_exact_syncs`, and in the
`streams` of `sync --json` and `status --json`. A stream that only waits, because the day's calls are used
up, is not an error: its line begins with `waiting: `, and its `code` is `limit`. A stream that continues in
the next round has no `code`. `exact-source webhooks` prints a line for each subscription that failed, with
`code`, `division` and `topic`, and ends with 3. `exact-source check` prints all findings on stdout, and the
first one to correct on stderr.

No message holds a token, a secret, the content of a row or the query of a URL. The text in ‹› differs from
case to case. A message that is not on this page comes from dlt, a driver or Python: it begins with the class
of the innermost error (`code`: `unexpected`, exit code 1). `usage` (exit code 2) is an option that does not
exist or has a value of the wrong type.
"""
STREAMS = """\
A stream can also end with one of these codes, which belong to no class; the exit code is then that of the
whole sync:
"""


@dataclass(frozen=True, order=True)
class Message:
    """A message as the source spells it.

    Attributes:
        kind: Name of the class.
        text: Its words; ``‹name›`` stands for what differs.
        module: Where it is raised.
    """

    kind: str
    text: str
    module: str


def modules() -> Iterator[ModuleType]:
    """All modules but the sandbox, which raises none of ours."""
    for found in pkgutil.walk_packages(exact_source.__path__, "exact_source."):
        if not found.name.startswith("exact_source.sandbox") and "__main__" not in found.name:
            yield importlib.import_module(found.name)


def kinds(base: type[ExactError] = ExactError) -> Iterator[type[ExactError]]:
    """All classes of ours, each before those that derive from it, in whatever order they were imported."""
    if base.__module__.startswith(f"{exact_source.__name__}."):
        yield base
    for kind in sorted(base.__subclasses__(), key=_place):
        yield from kinds(kind)


def _place(kind: type[ExactError]) -> tuple[bool, str]:
    """Those of ``errors.py`` come first, as they stand there."""
    elsewhere = kind.__module__ != ExactError.__module__
    return elsewhere, kind.__module__ if elsewhere else ""


def messages() -> list[Message]:
    """All messages of all modules."""
    loaded = list(modules())
    names = {kind.__name__ for kind in kinds()}
    return sorted({m for module in loaded for m in Reader(module, names).messages()})


class Reader:
    """Reads the messages of one module from its source."""

    def __init__(self, module: ModuleType, kinds: set[str]) -> None:
        self._module, self._kinds = module, kinds
        self._tree = ast.parse(Path(str(module.__file__)).read_text("utf-8"))

    def messages(self) -> Iterator[Message]:
        """One for each place where an error of ours is made with a text of its own."""
        for scope in ast.walk(self._tree):
            if isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from self._of(scope)

    def _of(self, scope: ast.AST) -> Iterator[Message]:
        for node in ast.walk(scope):
            match node:
                case ast.Call(func=ast.Name(id=kind), args=[first, *_]) if kind in self._kinds:
                    for text in self._spellings(scope, first):
                        yield Message(kind, text, self._module.__name__)

    def _spellings(self, scope: ast.AST, node: ast.expr) -> Iterator[str]:
        """One text, or all that a local variable may hold."""
        if isinstance(node, ast.Subscript):  # an error that is raised once more
            return
        spelled = [node]
        if isinstance(node, ast.Name):
            spelled = [
                found.value
                for found in ast.walk(scope)
                if isinstance(found, ast.Assign) and ast.unparse(found.targets[0]) == node.id
            ]
        for one in spelled:
            text = "".join(self._parts(one))
            if not re.sub("‹.*?›", "", text):
                raise ValueError(f"{self._module.__name__}: spell the message where it is raised")
            yield text

    def _parts(self, node: ast.expr) -> Iterator[str]:
        """Constant texts as they are, the rest as ``‹name›``."""
        match node:
            case ast.Constant(value=value):
                yield " ".join(str(value).splitlines())
            case ast.JoinedStr(values=values):
                for value in values:
                    yield from self._parts(value)
            case ast.FormattedValue(value=value):
                yield from self._parts(value)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                yield from self._parts(left)
                yield from self._parts(right)
            case ast.Name(id=name) if isinstance(getattr(self._module, name, None), str):
                yield str(getattr(self._module, name))
            case _:
                yield f"‹{_word(node)}›"


def _word(node: ast.expr) -> str:
    """What to call something that differs."""
    names = [n.attr if isinstance(n, ast.Attribute) else n.id for n in ast.walk(node)
             if isinstance(n, ast.Attribute | ast.Name)]  # fmt: skip
    simple = isinstance(node, ast.Name | ast.Attribute) and len(names) <= LONGEST_NAME
    return names[0].strip("_").replace("_", " ") if simple else "…"


def render() -> str:
    """The whole page."""
    found = messages()
    pieces = [HEAD, "| code | class | exit code | what it means |", "|---|---|---|---|"]
    sections = []
    for kind in kinds():
        mine = list(dict.fromkeys(m for m in found if m.kind == kind.__name__))
        meaning = " ".join((kind.__doc__ or "").split("\n\n")[0].split())
        if kind.code and (mine or kind.__subclasses__()):
            pieces.append(f"| `{kind.code}` | `{kind.__name__}` | {kind.exit_code} | {meaning} |")
        if mine:
            sections.append(_section(kind, meaning, mine))
    pieces += ["", STREAMS, "| code | what it means |", "|---|---|"]
    pieces += [f"| `{code}` | {meaning} |" for code, meaning in STREAM_CODES.items()]
    return "\n".join([*pieces, "", *sections])


def _section(kind: type[ExactError], meaning: str, mine: list[Message]) -> str:
    rows = [
        f"| {m.text.replace('|', chr(92) + '|')} | `{m.module.removeprefix('exact_source.')}` |"
        for m in mine
    ]
    head = [
        f"## {kind.__name__}",
        "",
        f"{meaning} {kind.remedy}",
        "",
        "| message | from |",
        "|---|---|",
    ]
    return "\n".join([*head, *rows, ""])


if __name__ == "__main__":
    PAGE.write_text(render(), "utf-8")
