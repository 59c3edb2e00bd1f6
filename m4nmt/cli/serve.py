"""`m4nmt serve`: a translation service and a web page."""

import argparse
import importlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from m4nmt.cli.common import existing_run
from m4nmt.cli.decoding import add_model, load_translator
from m4nmt.core.config import ConfigError, override

_TOKEN = "M4NMT_ADMIN_TOKEN"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """RUN..., --host, --port, --workers, --keys, --database, --log-texts, --set."""
    add_model(parser)
    parser.add_argument(
        "more",
        nargs="*",
        metavar="RUN",
        help="further models; the first that knows a direction translates it. Each is called by "
        "the name of its folder, or by NAME in NAME=RUN",
    )
    parser.set_defaults(precision="auto")  # what the model was exported in, else fp32
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 to be reached from elsewhere")
    parser.add_argument("--port", type=int, default=5000)
    parser.add_argument(
        "--workers",
        type=int,
        default=1,
        help="batches decoded at one time, in this process; --threads are shared among them",
    )
    parser.add_argument(
        "--keys",
        type=Path,
        metavar="FILE",
        help="API keys (m4nmt keys); without it everybody is let in",
    )
    parser.add_argument(
        "--database",
        type=Path,
        metavar="FILE",
        help="SQLite file, made if there is none, for glossaries, suggestions and what keys have "
        "used; without it they are forgotten at the end",
    )
    parser.add_argument("--log-texts", action="store_true", help="quote texts in the log")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="A=V",
        help="change a limit of the service (serve/m4nmt_serve/settings.py); repeatable",
    )


def run(args: argparse.Namespace) -> int:
    """Serve until a signal; requests in flight are answered first.

    Raises:
        ConfigError: the serve extra is not installed, no such model, or an option that is none.
    """
    try:
        server = importlib.import_module("m4nmt_serve.server")
    except ImportError as error:
        raise ConfigError(f"{error}; install the service: pip install 'm4nmt[serve]'") from error
    server.run(_loads(args), host=args.host, port=args.port, config=_settings(args))
    return 0


def _settings(args: argparse.Namespace) -> Any:
    """The service's limits with the command line's changes, and the token of the environment."""
    settings = importlib.import_module("m4nmt_serve.settings")
    operate = importlib.import_module("m4nmt_serve.operate")
    token = os.environ.get(_TOKEN, "").strip()
    config = settings.ServeConfig(
        workers=args.workers,
        log_texts=args.log_texts,
        keys=str(args.keys or ""),
        database=str(args.database or ""),
        admin_sha256=operate.digest(token) if token else "",
    )
    return override(config, args.set)


def _loads(args: argparse.Namespace) -> dict[str, Callable[[], Any]]:
    """What loads each model, by name."""
    loads: dict[str, Callable[[], Any]] = {}
    for given in (args.model, *map(Path, args.more)):
        name, path = _named(given)
        if name in loads:
            raise ConfigError(f"two models are called {name!r}; name one: NAME={path}")
        each = argparse.Namespace(**{**vars(args), "model": path})
        loads[name] = partial(load_translator, each)
    return loads


def _named(given: Path) -> tuple[str, Path]:
    """A model's name and folder, from RUN or NAME=RUN."""
    name, equals, rest = str(given).partition("=")
    if equals and "/" not in name and not given.exists():
        return name, existing_run(Path(rest))
    path = existing_run(given)
    whole = path.resolve()
    return (whole.parent.name if whole.name == "model" else whole.name), path
