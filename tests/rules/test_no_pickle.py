"""No code runs from a file that we read: no pickle but the unpickler that knows a dozen names."""

import ast
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
SOURCES = sorted(path for folder in ("m4nmt", "serve") for path in (REPO / folder).rglob("*.py"))
# The one reader of pickled bytes: it refuses every name outside its list.
SAFE_UNPICKLER = "m4nmt/checkpoint/load.py"
PICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(REPO)))
def test_no_source_reads_pickles(path: Path) -> None:
    name = str(path.relative_to(REPO))
    assert dangers(path.read_text(encoding="utf-8"), name) == []


def test_the_rule_bites() -> None:
    for line in (
        "import pickle",
        "from pickle import loads",
        "import torch\ntorch.load('x')",
        "import torch\ntorch.load('x', weights_only=False)",
        "from torch import load",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "import pandas as pd\npd.read_pickle('x')",
        "import yaml\nyaml.load('x')",
    ):
        assert dangers(line, "somewhere.py"), line
    assert dangers("import pickle\npickle.load(f)", SAFE_UNPICKLER)
    assert not dangers("import pickle\nclass U(pickle.Unpickler): ...", SAFE_UNPICKLER)
    assert not dangers("import torch\ntorch.load('x', weights_only=True)", "somewhere.py")


def dangers(text: str, name: str) -> list[str]:
    """Lines of a source that could run code from a file."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            module = getattr(node, "module", "") or ""
            roots = {m.split(".")[0] for m in [*modules, module]}
            imported_load = module == "torch" and any(a.name == "load" for a in node.names)
            whole_pickle = modules == ["pickle"] and name == SAFE_UNPICKLER
            if (roots & PICKLERS and not whole_pickle) or imported_load:
                found.append(f"{name}:{node.lineno}: {ast.unparse(node)}")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            call = ast.unparse(node.func)
            options = {k.arg: ast.unparse(k.value) for k in node.keywords}
            unsafe = (
                (call == "torch.load" and options.get("weights_only") != "True")
                or call in ("pickle.load", "pickle.loads", "yaml.load")
                or call.endswith(".read_pickle")
                or options.get("allow_pickle") == "True"
            )
            if unsafe:
                found.append(f"{name}:{node.lineno}: {ast.unparse(node)}")
    return found
