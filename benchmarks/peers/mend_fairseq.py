"""Mend an installed fairseq 0.12.2 so that it imports on Python 3.11 with today's NumPy.

Two things have changed under it, and under the hydra 1.0.7 it needs, since their release:

* Python 3.11 refuses a dataclass field whose default cannot be hashed, and the nested
  configurations of both are such defaults.  Their classes are given a hash
  (``unsafe_hash=True``): the defaults stay what they were.
* NumPy 1.24 removed the aliases ``np.float`` and ``np.int``; the built-in types they
  stood for are written in their place.

The speed of training is not touched by either.  Run it with the Python that holds
fairseq; running it again changes nothing.
"""

from __future__ import annotations

import re
import sys
from importlib.util import find_spec
from pathlib import Path

NESTED_CONFIGS = {
    "fairseq": ("dataclass/configs.py", "models/transformer/transformer_config.py"),
    "hydra": ("conf/__init__.py",),
}
DECORATOR = re.compile(r"^( *)@dataclass$", re.MULTILINE)
ALIAS = re.compile(r"\bnp\.(float|int)\b")
HERE = Path(__file__).resolve().parent


def package_folder(package: str) -> Path:
    """The folder of an installed package, found without importing it."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        sys.exit(f"{package} is not installed for this Python")
    return Path(spec.origin).parent


def substitute(path: Path, pattern: re.Pattern[str], replacement: str) -> int:
    """Rewrite a file in place; return the number of replacements."""
    text, count = pattern.subn(replacement, path.read_text(encoding="utf-8"))
    if count:
        path.write_text(text, encoding="utf-8")
    return count


def main() -> None:
    """Mend every file that needs it and say what was done."""
    # This script lies beside one called fairseq.py.
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != HERE]
    classes = sum(
        substitute(package_folder(package) / name, DECORATOR, r"\1@dataclass(unsafe_hash=True)")
        for package, names in NESTED_CONFIGS.items()
        for name in names
    )
    aliases = sum(
        substitute(path, ALIAS, r"\1") for path in package_folder("fairseq").rglob("*.py")
    )
    print(f"{classes} configuration classes and {aliases} NumPy aliases mended")


if __name__ == "__main__":
    main()
