"""The existence and source of tests that other tests name."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]


def source_of(test: str) -> str:
    """The source of a test such as ``tests/dlt/test_x.py::test_y``."""
    file, _, name = test.partition("::")
    text = (ROOT / file).read_text("utf-8")
    found = [n for n in ast.parse(text).body if isinstance(n, ast.FunctionDef) and n.name == name]
    assert [n.name for n in found] == [name], f"there is no test {test}"
    return str(ast.get_source_segment(text, found[0]))
