"""Find recipes and other shipped files by path or by name.

A recipe is a public function without arguments whose return annotation is RunConfig. It is written
`base` (a shipped one) or `path/to/my.py:run` (anyone's). Not its job: running what it finds.
"""

import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from m4nmt.core.config import ConfigError, unknown_name

Recipe = Callable[[], Any]
_PACKAGE = Path(__file__).resolve().parents[1]


def shipped(kind: str) -> Path:
    """Folder of shipped files: "recipes" or "manifests", in a checkout or in an installed wheel."""
    if not (_PACKAGE.parent / "pyproject.toml").exists():
        return _PACKAGE / "_shipped" / kind
    return _PACKAGE.parent / {"recipes": "recipes", "manifests": "data/manifests"}[kind]


def recipes() -> dict[str, Recipe]:
    """All shipped recipes by name."""
    found: dict[str, Recipe] = {}
    for path in sorted(shipped("recipes").glob("*.py")):
        found.update(recipes_in(path))
    return found


def recipes_in(path: Path) -> dict[str, Recipe]:
    """The recipes that a file defines, in the order of the file."""
    module = _load(path)
    return {
        name: value
        for name, value in vars(module).items()
        if inspect.isfunction(value)
        and not name.startswith("_")
        and value.__module__ == module.__name__
        and not inspect.signature(value).parameters
        and _returns_run_config(value)
    }


def recipe(spec: str) -> Recipe:
    """The recipe called `name`, `file.py:name`, or `file.py` where it has just one.

    Raises:
        ConfigError: no such file or name; the message offers the nearest.
    """
    file, _, name = spec.rpartition(":") if ":" in spec else ("", "", spec)
    if not file and spec.endswith(".py"):
        file, name = spec, ""
    if not file:
        known = recipes()
        if name not in known:
            raise ConfigError(f"{unknown_name(name, known, 'recipe')} (or give a path: my.py:run)")
        return known[name]
    path = Path(file)
    if not path.is_file():
        raise ConfigError(f"recipe {spec!r}: there is no file {file}")
    known = recipes_in(path)
    if not name and len(known) == 1:
        return next(iter(known.values()))
    if name not in known:
        hint = "; a recipe is a function without arguments annotated `-> RunConfig`"
        raise ConfigError(f"{file}: {unknown_name(name, known, 'recipe')}{hint}")
    return known[name]


def _returns_run_config(function: Callable[..., Any]) -> bool:
    annotation = inspect.signature(function).return_annotation
    return bool(getattr(annotation, "__name__", annotation) == "RunConfig")


def _load(path: Path) -> ModuleType:
    name = f"m4nmt_recipe_{path.stem}_{abs(hash(str(path.resolve()))):x}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"recipe file {path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ConfigError(f"recipe file {path}: {type(error).__name__}: {error}") from error
    return module
