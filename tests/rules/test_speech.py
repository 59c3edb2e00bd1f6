"""The project speaks of itself alone: no machine's paths, no registry's hosts in what we ship."""

import re
import subprocess
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
# Assembled, so that this file does not contain what it looks for.
FORBIDDEN = re.compile(
    "|".join(["/" + "work/", "/" + "root/", "py" + r"pi\.org", "files" + r"\.pythonhosted"])
)


def tracked_files() -> list[Path]:
    done = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPO, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip("not a git checkout: cannot tell which files are ours")
    return [REPO / name for name in done.stdout.split("\0") if name]


def test_no_file_names_a_machine_or_a_registry() -> None:
    found = []
    for path in tracked_files():
        if not path.is_file():
            continue
        text = path.read_bytes().decode("utf-8", errors="ignore")
        found += [f"{path.relative_to(REPO)}: {m.group()}" for m in FORBIDDEN.finditer(text)]
    assert found == []
