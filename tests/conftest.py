"""Fixtures for every floor of the tests."""

import os
from pathlib import Path

# One math thread unless told otherwise: several test processes on few cores fight for them. The
# math library reads this when torch is first imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

REPO = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real corpora: $M4NMT_TEST_DATA, else ../shared/data beside the checkout."""
    folder = Path(os.environ.get("M4NMT_TEST_DATA", REPO.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real corpora at {folder}; set M4NMT_TEST_DATA to their folder")
    return folder
