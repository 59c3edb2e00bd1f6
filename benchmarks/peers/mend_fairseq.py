"""Mend an installed fairseq 0.12.2 so that it imports on Python 3.11 with today's NumPy.

Two things have changed under it since its release:

* Python 3.11 refuses a dataclass field whose default cannot be hashed, and the nested
  configurations of fairseq are such defaults.  Their classes are given a hash
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

NESTED_CONFIGS = ("dataclass/configs.py", "models/transformer/transformer_config.py")
DECORATOR = re.compile(r"^@dataclass$", re.MULTILINE)
ALIAS = re.compile(r"\bnp\.(float|int)\b")


def package_folder() -> Path:
    """The folder of the installed package, found without importing it."""
    spec = find_spec("fairseq")
    if spec is None or spec.origin is None:
        sys.exit("fairseq is not installed for this Python")
    return Path(spec.origin).parent


def substitute(path: Path, pattern: re.Pattern[str], replacement: str) -> int:
    """Rewrite a file in place; return the number of replacements."""
    text, count = pattern.subn(replacement, path.read_text(encoding="utf-8"))
    if count:
        path.write_text(text, encoding="utf-8")
    return count


def main() -> None:
    """Mend every file that needs it and say what was done."""
    folder = package_folder()
    classes = sum(
        substitute(folder / name, DECORATOR, "@dataclass(unsafe_hash=True)")
        for name in NESTED_CONFIGS
    )
    aliases = sum(substitute(path, ALIAS, r"\1") for path in folder.rglob("*.py") if path.is_file())
    print(f"fairseq: {classes} configuration classes and {aliases} NumPy aliases mended")


if __name__ == "__main__":
    main()
