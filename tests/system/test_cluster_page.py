"""The commands of docs/cluster.md that take a minute: machines that come and go, accelerate."""

import json
from pathlib import Path

import pytest
from test_docs import BLOCK, REPO, run


def script() -> str:
    """What makes the small recipe, then the slow commands."""
    found = list(BLOCK.finditer((REPO / "docs/cluster.md").read_text(encoding="utf-8")))
    slow = [b["code"] for b in found if (b["note"] or "").startswith("not run with the page")]
    assert len(slow) == 2
    assert "def tiny()" in found[0]["code"]
    return "\n".join([found[0]["code"], *slow])


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_slow_commands_run(tmp_path: Path) -> None:
    run(script(), tmp_path, timeout=380)
    for name, steps in (("elastic", 600), ("accelerate", 10)):
        lines = (tmp_path / f"runs/{name}/metrics.jsonl").read_text().splitlines()
        last = [json.loads(line)["step"] for line in lines if '"kind": "train"' in line][-1]
        assert last == steps
        assert (tmp_path / f"runs/{name}/model").is_dir()
