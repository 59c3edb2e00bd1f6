"""The run's journal: what happened, one JSON line each, appended, durable, never rewound.

It stands beside the checkpoints and not in them: a resumed run must still know what befell it.
Not its job: measurements (records).
"""

import json
import logging
import time
from pathlib import Path
from typing import Any

from m4nmt.core.files import append_durable

log = logging.getLogger(__name__)


class Journal:
    """Writes `journal.jsonl` of a run folder, after the torn line of a killed run, if any.

    Args:
        writes: False on all ranks but one.
    """

    def __init__(self, path: Path, writes: bool = True) -> None:
        self.path = path
        self._writes = writes
        if writes and path.exists() and not path.read_bytes().endswith(b"\n"):
            append_durable(path, "")

    def write(self, event: str, step: int, **facts: Any) -> None:
        """Append an event that people may want to know.

        A journal that cannot be written (a full disk) is said on the log and ends nothing.
        """
        try:
            self.record(event, step, **facts)
        except OSError as error:
            told = {"event": event, "step": step, **facts}
            log.error("%s: %s; not written: %s", self.path, error.strerror, json.dumps(told))

    def record(self, event: str, step: int, **facts: Any) -> None:
        """Append an event that the run itself reads again (rewind). The time of day is for people.

        Raises:
            OSError: it is not written.
        """
        if not self._writes:
            return
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        append_durable(
            self.path, json.dumps({"event": event, "step": step, "time": stamp, **facts})
        )

    def events(self) -> list[dict[str, Any]]:
        """All whole lines; a torn last line of a killed run is left out."""
        if not self.path.exists():
            return []
        events = []
        for line in self.path.read_bytes().split(b"\n"):
            try:
                events.append(json.loads(line))
            except ValueError:
                continue
        return events
