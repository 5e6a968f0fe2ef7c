"""Makes mutants of the source: one comparison, constant, condition or statement changed in each.

Message texts, log calls, annotations and docstrings are not changed, because no test asserts on them by
design. Defaults of arguments and fields are not changed either, because they are evaluated at import. The
name of a mutant consists of its file, function, line, original and replacement, so that it survives changes
elsewhere in the file.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from pathlib import Path

COMPARED: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Eq: ("==", "!="), ast.NotEq: ("!=", "=="), ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="), ast.GtE: (">=", ">"), ast.Is: ("is", "is not"), ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"), ast.NotIn: ("not in", "in"),
}  # fmt: skip
CALCULATED: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "/"), ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
}  # fmt: skip
# Calls whose removal no test should notice.
SAID = {"debug", "info", "warning", "error", "exception", "note", "add_note"}


@dataclass(frozen=True)
class Made:
    """A mutant and its position.

    Attributes:
        file: Path below the root of the project.
        function: Qualified name of the function or class; empty at the level of the module.
        first: First line of the statement that is changed.
        last: Its last line.
        start: Offset of the changed text in the file, in characters.
        line: The line of the file where that text begins.
        old: Original text.
        new: Replacement.
    """

    file: str
    function: str
    first: int
    last: int
    start: int
    line: str
    old: str
    new: str

    @property
    def name(self) -> str:
        """Name for lists."""
        old, new = (" ".join(text.split()) for text in (self.old, self.new))
        return f"{self.file}:{self.function}: {self.line}: {old} -> {new}"

    def applied_to(self, text: str) -> str:
        """The text of the file with the change."""
        return text[: self.start] + self.new + text[self.start + len(self.old) :]


class _Finder(ast.NodeVisitor):
    """Finds the possible changes in one module."""

    def __init__(self, file: str, text: str) -> None:
        self.file, self.text = file, text
        self.found: list[Made] = []
        self._names: list[str] = []
        self._statement: ast.stmt | None = None
        lines = text.splitlines(keepends=True)
        self._lines = [line.encode() for line in lines]
        self._starts = [0]
        for line in lines:
            self._starts.append(self._starts[-1] + len(line))

    # -- places ------------------------------------------------------------------------------------

    def _offset(self, line: int, column: int) -> int:
        return self._starts[line - 1] + len(self._lines[line - 1][:column].decode())

    def _span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        end_line, end_column = node.end_lineno, node.end_col_offset
        assert end_line is not None
        assert end_column is not None
        return self._offset(node.lineno, node.col_offset), self._offset(end_line, end_column)

    def _change(self, start: int, end: int, new: str) -> None:
        at = self._statement
        first, last = (1, 1) if at is None else (at.lineno, at.end_lineno or at.lineno)
        if isinstance(at, ast.If | ast.While):
            last = at.test.end_lineno or at.lineno
        elif isinstance(at, ast.For | ast.AsyncFor):
            last = at.iter.end_lineno or at.lineno
        elif isinstance(at, ast.With | ast.AsyncWith | ast.Try):
            last = first
        name = ".".join(self._names)
        line = self.text[self.text.rfind("\n", 0, start) + 1 :].split("\n", 1)[0].strip()
        old = self.text[start:end]
        self.found.append(Made(self.file, name, first, last, start, line, old, new))

    def _replace(self, node: ast.expr | ast.stmt, new: str) -> None:
        self._change(*self._span(node), new)

    def _swap_between(self, left: ast.expr, right: ast.expr, old: str, new: str) -> None:
        """Replace an operator between two operands."""
        start, end = self._span(left)[1], self._span(right)[0]
        at = self.text.find(old, start, end)
        if at >= 0 and "#" not in self.text[start:at]:
            self._change(at, at + len(old), new)

    # -- traversal --------------------------------------------------------------------------------

    def visit(self, node: ast.AST) -> None:
        """Remember the statement to which a node belongs."""
        if not isinstance(node, ast.stmt):
            super().visit(node)
            return
        before, self._statement = self._statement, node
        super().visit(node)
        self._statement = before

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._names.append(node.name)
        for part in _without_docstring(node.body):
            self.visit(part)
        self._names.pop()

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        if any(getattr(base, "id", "") == "Protocol" for base in node.bases):
            return
        self._names.append(node.name)
        for part in _without_docstring(node.body):
            if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                self.visit(part)
        self._names.pop()

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_Raise(self, node: ast.Raise) -> None:
        self._replace(node, "pass")  # its message is not changed

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Skip f-strings: they are messages."""

    def visit_Call(self, node: ast.Call) -> None:
        if not _is_said(node):
            self.generic_visit(node)

    # -- changes -----------------------------------------------------------------------------------

    def visit_Expr(self, node: ast.Expr) -> None:
        value = node.value.value if isinstance(node.value, ast.Await) else node.value
        if isinstance(value, ast.Call):
            if _is_said(value):
                return
            self._replace(node, "pass")
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        target = node.targets[0]
        if isinstance(target, ast.Attribute) and self._names[-1:] != ["__init__"]:
            self._replace(node, "pass")
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._replace(node, "pass")
        self.generic_visit(node)

    def visit_Continue(self, node: ast.Continue) -> None:
        self._replace(node, "break")

    def visit_Break(self, node: ast.Break) -> None:
        self._replace(node, "continue")

    def visit_If(self, node: ast.If) -> None:
        if getattr(node.test, "id", "") == "TYPE_CHECKING":
            return
        if not isinstance(node.test, ast.Compare | ast.UnaryOp):
            self._negate(node.test)
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        if not isinstance(node.test, ast.Compare | ast.UnaryOp):
            self._negate(node.test)
        self.generic_visit(node)

    def _negate(self, test: ast.expr) -> None:
        start, end = self._span(test)
        self._change(start, end, f"not ({self.text[start:end]})")

    def visit_Return(self, node: ast.Return) -> None:
        is_plain = isinstance(node.value, ast.Constant) and node.value.value in {None, True, False}
        if node.value is not None and not is_plain:
            self._replace(node.value, "None")
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        operands = [node.left, *node.comparators]
        for left, operator, right in zip(operands, node.ops, operands[1:], strict=False):
            if type(operator) in COMPARED:
                self._swap_between(left, right, *COMPARED[type(operator)])
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            self._swap_between(left, right, old, new)
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            start, end = self._span(node.operand)
            self._replace(node, f"bool({self.text[start:end]})")
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if type(node.op) in CALCULATED and not _is_text(node.left) and not _is_text(node.right):
            self._swap_between(node.left, node.right, *CALCULATED[type(node.op)])
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self._replace(node, str(not node.value))
        elif isinstance(node.value, int | float):
            self._replace(node, f"({self.text[slice(*self._span(node))]} + 1)")


def _without_docstring(body: Sequence[ast.stmt]) -> Sequence[ast.stmt]:
    first = body[0]
    is_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return body[1:] if is_docstring else body


def _is_said(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr in SAID


def _is_text(node: ast.expr) -> bool:
    is_constant = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return is_constant or isinstance(node, ast.JoinedStr)


def mutants_of(root: Path, packages: Iterable[str]) -> Iterator[Made]:
    """All mutants of some packages, ordered by file."""
    for package in packages:
        for path in sorted((root / "exact_source" / package).rglob("*.py")):
            text = path.read_text("utf-8")
            finder = _Finder(path.relative_to(root).as_posix(), text)
            finder.visit(ast.parse(text))
            yield from finder.found


def sample(root: Path, package: str, count: int, seed: int) -> list[Made]:
    """Mutants of a package selected by a seed, ordered by file.

    Each is selected by its own name, so that a change of the source does not affect the others.
    """

    def rank(made: Made) -> bytes:
        return blake2b(f"{seed} {made.name}".encode(), digest_size=8).digest()

    ordered = sorted(mutants_of(root, [package]), key=rank)
    chosen = islice((made for made in ordered if _compiles(root, made)), count)
    return sorted(chosen, key=lambda made: (made.file, made.start, made.new))


def _compiles(root: Path, made: Made) -> bool:
    text = (root / made.file).read_text("utf-8")
    try:
        ast.parse(made.applied_to(text))
    except SyntaxError:
        return False
    return True
