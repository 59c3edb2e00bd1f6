"""Reading holds nothing that grows with the corpus: the process stays as large as it was."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from read_made import FORMATS, PACKED, put

FEW, MANY = 2_000, 60_000
_HERE = Path(__file__).parent
# Reads a small file, then one thirty times as long; says by how many MiB the process has grown.
_PROGRAM = """
import resource, sys
from pathlib import Path
from m4nmt.data.formats import Faults, Source, read
from read_made import FORMATS

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

_, kind, fields, _ = FORMATS[sys.argv[1]]
sizes = []
for path in sys.argv[2:]:
    rows = sum(1 for _ in read(Source(Path(path), fields, kind), Faults()))
    sizes.append(peak())
print(rows, sizes[1] - sizes[0])
"""


_TEXT = random.Random(0).randbytes(1 << 19).hex()
SLOW = pytest.mark.slow
CASES = [
    ("tmx", ""),
    pytest.param("tmx", ".zst", marks=SLOW),
    pytest.param("parquet", "", marks=SLOW),
    pytest.param("parquet", ".zst", marks=SLOW),
    pytest.param("lines", "", marks=SLOW),
    pytest.param("csv", "", marks=SLOW),
    pytest.param("jsonl", "", marks=SLOW),
    pytest.param("po", "", marks=SLOW),
]


def text(number: int) -> str:
    at = number * 977 % (len(_TEXT) - 200)
    return f"{number} {_TEXT[at : at + 120]}"


@pytest.mark.parametrize(("form", "suffix"), CASES)
def test_memory_does_not_grow(form: str, suffix: str, tmp_path: Path) -> None:
    write, _, _, ending = FORMATS[form]
    paths = []
    for count in (FEW, MANY):
        data = write([(text(n), text(n * n)) for n in range(count)])
        paths.append(put(tmp_path / f"{count}.{ending}{suffix}", PACKED[suffix](data)))
    assert len(data) > 6 << 20
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, form, *map(str, paths)],
        capture_output=True,
        text=True,
        check=True,
        cwd=_HERE,
        env=dict(os.environ, PYTHONPATH=str(_HERE)),
    )
    rows, grown = done.stdout.split()
    assert int(rows) == MANY
    assert float(grown) < 6
