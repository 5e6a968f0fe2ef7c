"""No module writes to an attribute that a class of another module declares; that class has a method for it.

The types of expressions are not known here. So a write counts if the attribute is declared by a class of this
package, and not by one of the same module. Objects of other packages, such as dlt's, are not meant.
"""

from __future__ import annotations

import ast
import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

import exact_source

PACKAGE = Path(exact_source.__file__).parent
# Module and attribute -> reason why it is written there.
ALLOWED = {
    ("auth/storage/sql.py", "connection"): "a threading.local",
    ("cli/_output/tables.py", "width"): "a console of rich",
}
OWN = {"self", "cls"}


@pytest.fixture(autouse=True)
def no_garbage_collection() -> Iterator[None]:
    """In Python 3.11 ``ast.parse`` fails if it sets off a collection of what earlier tests left."""
    gc.disable()
    yield
    gc.enable()


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield str(path.relative_to(PACKAGE)), ast.parse(path.read_text(encoding="utf-8"))


def declared(module: ast.AST) -> set[str]:
    """Attributes of the classes of a module."""
    names = set()
    for kind in (node for node in ast.walk(module) if isinstance(node, ast.ClassDef)):
        for node in kind.body:
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                names.add(node.target.id)
        names.update(target.attr for target in targets(kind) if is_own(target.value))
    return names


def targets(tree: ast.AST) -> Iterator[ast.Attribute]:
    """Attributes that are set or deleted."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
            yield node


def is_own(owner: ast.expr) -> bool:
    return isinstance(owner, ast.Name) and owner.id in OWN


def foreign_writes(sources: dict[str, ast.Module]) -> list[tuple[str, str, int]]:
    """Module, attribute and line of each write to an object of another module."""
    names = {module: declared(tree) for module, tree in sources.items()}
    of_all = set().union(*names.values())
    return [
        (module, node.attr, node.lineno)
        for module, tree in sources.items()
        for node in targets(tree)
        if not is_own(node.value) and node.attr in of_all - names[module]
    ]


def test_no_attribute_is_written_from_another_module() -> None:
    found = foreign_writes(dict(modules()))
    assert [f for f in found if f[:2] not in ALLOWED] == []
    assert {f[:2] for f in found} == ALLOWED.keys(), "a reason that is no longer needed"


OWNER = "class Owner:\n    def __init__(self):\n        self.mine = []\n"


@pytest.mark.parametrize(
    "text",
    [
        "owner.mine = 1",
        "owner.mine += 1",
        "self.owner.mine = 1",
        "owner.mine, x = 1, 2",
        "del owner.mine",
    ],
)
def test_a_write_is_found_outside_of_the_owners_module(text: str) -> None:
    owner = ast.parse(OWNER)
    assert foreign_writes({"a.py": owner, "b.py": ast.parse(text)}) == [("b.py", "mine", 1)]
    assert foreign_writes({"a.py": ast.parse(OWNER + text)}) == []


def test_reading_and_other_packages_are_not_meant() -> None:
    text = "x = owner.mine; theirs.other = 1; self.mine = 1"
    assert foreign_writes({"a.py": ast.parse(OWNER), "b.py": ast.parse(text)}) == []
