"""Preparing text needs no torch, which would take more than a second of every start."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["m4nmt.data.prepare", "m4nmt.cli.prepare", "m4nmt.data.look"])
def test_text_is_prepared_without_torch(module: str) -> None:
    script = f"import sys, {module}; print(sorted(m for m in sys.modules if m == 'torch'))"
    out = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=60
    ).stdout
    assert out == "[]\n"
