"""The translation service: sees a Translator and nothing else of m4nmt."""

from m4nmt_serve.app import create_app
from m4nmt_serve.settings import ServeConfig

__all__ = ["ServeConfig", "create_app"]
