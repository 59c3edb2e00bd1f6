"""Every command in the documentation runs as it stands.

A block after an HTML comment is treated as the comment says: `not run ...` gives the reason why it
is left out here; `needs: ...` runs it after the quickstart, in the slow suite. Pages about corpora
run against real ones, in the slow suite too; the manifests that they show are read.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from m4nmt.data.manifest import parse

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
CORPUS_PAGES = ["docs/data.md", "docs/corpora.md"]
TOML = re.compile(r"```toml\n(.*?)```", re.S)
BARE = re.compile(r"^```\n(?:(?!```).*\n)*?m4nmt .*\n", re.M)


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


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_commands_about_corpora_run_on_real_ones(
    tmp_path: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (shared_data / "multi30k").is_dir():
        pytest.skip(f"{shared_data} has no multi30k")
    monkeypatch.setenv("M4NMT_DATA", str(shared_data))
    script = "\n".join(blocks(page, needs=False) for page in CORPUS_PAGES)
    assert script.count("m4nmt prepare") > 4
    run(script, tmp_path, timeout=1400)
    assert (tmp_path / "vocabulary.html").exists()
    assert (tmp_path / "runs/multi30k/data/store/store.json").exists()


@pytest.mark.parametrize("page", [*PAGES, *CORPUS_PAGES])
def test_no_command_hides_from_the_runner(page: str) -> None:
    assert not BARE.findall((REPO / page).read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", *CORPUS_PAGES])
def test_manifests_of_the_page_are_ones(page: str, tmp_path: Path) -> None:
    shown = TOML.findall((REPO / page).read_text(encoding="utf-8"))
    assert shown
    for number, text in enumerate(shown):
        path = tmp_path / f"{number}.toml"
        path.write_text(text, encoding="utf-8")
        parse(path)
