"""Finding recipes by name and by path."""

from pathlib import Path

import pytest

from m4nmt.core import names
from m4nmt.core.config import ConfigError

MINE = """
from m4nmt.core.names import recipe
from m4nmt.train.settings import RunConfig

def mine() -> RunConfig:
    return recipe("debug")()

def _private() -> RunConfig:
    return recipe("debug")()

def helper(x: int) -> RunConfig:
    return recipe("debug")()
"""


def test_a_users_own_file(tmp_path: Path) -> None:
    path = tmp_path / "my.py"
    path.write_text(MINE)
    assert set(names.recipes_in(path)) == {"mine"}
    assert names.recipe(f"{path}:mine")().name == "debug"
    assert names.recipe(str(path))().name == "debug"


def test_shipped_by_name() -> None:
    assert names.recipe("base")().name == "base"


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("bse", "did you mean 'base'"),
        ("nowhere.py:x", "no file"),
        ("{file}:min", "did you mean 'mine'"),
    ],
)
def test_wrong_names_get_a_hint(spec: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "my.py"
    path.write_text(MINE)
    with pytest.raises(ConfigError, match=says):
        names.recipe(spec.format(file=path))


def test_a_broken_file_says_where(tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_text("import nothing_like_this\n")
    with pytest.raises(ConfigError, match=r"bad\.py.*nothing_like_this"):
        names.recipe(f"{path}:x")
