"""One line of JSON for each request and each event, on stderr.

Never a key, never an address; texts only if asked for (`--log-texts`). An exception is written as
its type and the places it passed, since its message may quote a text.
Not its job: numbers over many requests (meters.py).
"""

import contextlib
import json
import logging
import sys
import time
import traceback
from collections.abc import Iterator
from typing import Any

from m4nmt_serve.trace import Trace

log = logging.getLogger("m4nmt_serve")
_LEVELS = {
    "m4nmt_serve": logging.INFO,
    "m4nmt": logging.INFO,
    "m4nmt.translate.sentences": logging.WARNING,  # else it tells of every batch
    "uvicorn.error": logging.WARNING,
}
_FIELD = "m4nmt"  # of a log record: what goes into the line beside time, level and event


@contextlib.contextmanager
def as_json(texts: bool) -> Iterator[None]:
    """Until the block ends all logs of this process's own are JSON; `texts`: quote what is
    translated."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines(texts))
    loggers = {logging.getLogger(name): level for name, level in _LEVELS.items()}
    before = [(x, x.handlers, x.level, x.propagate) for x in loggers]
    for logger, level in loggers.items():
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
    try:
        yield
    finally:
        for logger, handlers, old, propagate in before:
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(old)


def request(trace: Trace, method: str, route: str, status: int, seconds: float) -> None:
    """Tell of a request that is over; status 0: its client left. It holds no path as it was sent,
    which could hold a text."""
    if not log.isEnabledFor(logging.INFO):
        return
    told: dict[str, Any] = {
        "id": trace.id,
        "method": method,
        "route": route,
        "status": status or "left",
        "seconds": round(seconds, 4),
    }
    for name in ("lane", "model", "source", "target", "texts", "chars", "cached"):
        if getattr(trace, name):
            told[name] = getattr(trace, name)
    if trace.queued:
        told["queued"] = round(trace.queued, 4)
    log.info("request", extra={_FIELD: told, "said": trace.said})


class _Lines(logging.Formatter):
    """Records as lines of JSON."""

    def __init__(self, texts: bool) -> None:
        super().__init__()
        self._texts = texts

    def format(self, record: logging.LogRecord) -> str:
        seconds, rest = divmod(record.created, 1)
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f"{rest:.3f}Z"[1:],
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        line |= getattr(record, _FIELD, {})
        said = getattr(record, "said", None)
        if self._texts and said:
            line["said"] = list(said)
        if record.exc_info and record.exc_info[1] is not None:
            line |= self._exception(record.exc_info[1])
        return json.dumps(line)

    def _exception(self, error: BaseException) -> dict[str, Any]:
        frames = traceback.extract_tb(error.__traceback__)
        told: dict[str, Any] = {
            "error": type(error).__name__,
            "at": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
        }
        return told | ({"message": str(error)} if self._texts else {})
