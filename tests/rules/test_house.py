"""House rules: sizes of files, functions and constructors. The waivers may only shrink."""

import ast
from collections import Counter
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
FILE_LINES = 400
FUNCTION_LINES = 60
ARGUMENTS = 12
WAIVERS: dict[str, str] = {}

SOURCES = sorted(
    path
    for folder in ("m4nmt", "serve", "recipes", "tests", "benchmarks")
    for path in (REPO / folder).rglob("*.py")
)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(REPO)))
def test_file_is_small_and_made_of_small_parts(path: Path) -> None:
    assert broken_rules(path.read_text(encoding="utf-8"), str(path.relative_to(REPO))) == []


def test_every_file_of_tests_has_a_name_of_its_own() -> None:
    """pytest imports them all side by side."""
    names = Counter(path.name for path in SOURCES if path.is_relative_to(REPO / "tests"))
    assert [n for n, count in names.items() if count > 1 and n != "conftest.py"] == []


def test_waivers_are_still_needed() -> None:
    unneeded = [
        name
        for name in WAIVERS
        if not broken_rules((REPO / name).read_text(encoding="utf-8"), name, waivers={})
    ]
    assert unneeded == [], "these waivers can go"


def test_the_rules_bite() -> None:
    long_function = "def f():\n" + "    x = 1\n" * FUNCTION_LINES
    arguments = ", ".join(f"a{i}" for i in range(ARGUMENTS + 1))
    many_arguments = f"class C:\n    def __init__(self, {arguments}): ...\n"
    assert broken_rules("x = 1\n" * (FILE_LINES + 1), "long.py")
    assert broken_rules(long_function, "long_function.py")
    assert broken_rules(many_arguments, "many.py")


def broken_rules(text: str, name: str, waivers: dict[str, str] = WAIVERS) -> list[str]:
    """What a file does against the house rules, in words."""
    if name in waivers:
        return []
    problems = []
    lines = text.count("\n")
    if lines > FILE_LINES:
        problems.append(f"{name}: {lines} lines, at most {FILE_LINES}")
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        if length > FUNCTION_LINES:
            problems.append(f"{name}:{node.lineno}: {node.name} has {length} lines")
        if node.name == "__init__" and len(arguments) - 1 > ARGUMENTS:
            problems.append(f"{name}:{node.lineno}: constructor of {len(arguments) - 1} arguments")
    return problems
