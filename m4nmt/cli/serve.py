"""`m4nmt serve`: a translation service and a web page."""

import argparse
import importlib

from m4nmt.cli.decoding import add_model, load_translator
from m4nmt.core.config import ConfigError

HELP = "serve a model over HTTP (LibreTranslate's dialect) with a web page"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """RUN, --host, --port."""
    add_model(parser)
    parser.set_defaults(precision="auto")  # what the model was exported in, else fp32
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 to be reached from elsewhere")
    parser.add_argument("--port", type=int, default=5000)


def run(args: argparse.Namespace) -> int:
    """Serve until a signal; requests in flight are answered first.

    Raises:
        ConfigError: the serve extra is not installed.
    """
    try:
        server = importlib.import_module("m4nmt_serve.server")
    except ImportError as error:
        raise ConfigError(f"{error}; install the service: pip install 'm4nmt[serve]'") from error
    server.run(lambda: load_translator(args), host=args.host, port=args.port)
    return 0
