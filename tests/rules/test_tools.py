"""The tools that guard the house: ruff, mypy and the floors between rooms."""

import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
TOOLS = {
    "ruff check": ("ruff", "check", "."),
    "ruff format": ("ruff", "format", "--check", "."),
    "mypy": ("mypy", "m4nmt", "serve"),
    "import-linter": ("lint-imports", "--no-cache"),
}


@pytest.mark.parametrize("tool", TOOLS)
def test_tool_is_content(tool: str) -> None:
    name, *arguments = TOOLS[tool]
    program = Path(sys.executable).parent / name
    if not program.exists():
        pytest.skip(f"{name} is not installed beside {sys.executable}; pip install 'm4nmt[dev]'")
    done = subprocess.run(
        [str(program), *arguments], cwd=REPO, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
