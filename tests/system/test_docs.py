"""Every command in the documentation runs as it stands.

A block after an HTML comment is treated as the comment says: `not run ...` gives the reason why it
is left out here; `needs: ...` runs it after the quickstart, in the slow suite.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"(?:<!-- (?P<note>[^>]*?) -->\n)?```bash\n(?P<code>.*?)```", re.S)
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "docs/tutorial.md",
    "docs/cluster.md",
    "docs/plan.md",
    "docs/documents.md",
    "docs/decoding.md",
]


def blocks(page: str, needs: bool) -> str:
    """The page's commands as one script: those that need the quickstart, or those that do not."""
    chosen = []
    for block in BLOCK.finditer((REPO / page).read_text(encoding="utf-8")):
        note = block["note"] or ""
        assert not note or note.startswith(("not run", "needs:")), f"{page}: unknown note {note!r}"
        if not note.startswith("not run") and note.startswith("needs:") == needs:
            chosen.append(block["code"])
    return "\n".join(line for line in chosen if "make " not in line)


def run(script: str, folder: Path, timeout: float) -> None:
    """Run a script with this environment's programs; leave no process behind.

    What the script started in the background is ended with it: it would hold the output open.
    """
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    with subprocess.Popen(
        [
            "bash",
            "-euo",
            "pipefail",
            "-c",
            f"trap 'kill $(jobs -p) 2> /dev/null || true' EXIT\n{script}",
        ],
        cwd=folder,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=timeout)
        finally:
            _end(process)
    assert process.returncode == 0, f"{script}\n---\n{output}"


def _end(process: "subprocess.Popen[str]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def test_the_runner_notices_a_failing_command(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="no-such-verb"):
        run("m4nmt no-such-verb\necho never", tmp_path, timeout=60)


@pytest.mark.timeout(280)
@pytest.mark.parametrize("page", PAGES)
def test_commands_of_the_page_run(page: str, tmp_path: Path) -> None:
    script = blocks(page, needs=False)
    if not script.strip():
        pytest.skip(f"{page} has no command that stands alone")
    run(script, tmp_path, timeout=270)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_commands_that_need_the_quickstart_run_after_it(tmp_path: Path) -> None:
    scripts = [blocks(page, needs=True) for page in PAGES]
    assert any("m4nmt serve" in script for script in scripts)
    run("\n".join(["m4nmt quickstart", *scripts]), tmp_path, timeout=1400)
    assert (tmp_path / "runs/quickstart/report/index.html").exists()
