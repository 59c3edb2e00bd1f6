"""A server that the tests of a module share."""

from collections.abc import Iterator

import pytest
from serve_helpers import FakeTranslator, Running, running


@pytest.fixture(scope="module")
def served() -> Iterator[Running]:
    """A server with default limits, shared by the tests of a module."""
    with running(FakeTranslator()) as up:
        yield up
