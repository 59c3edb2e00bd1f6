"""What a run is, and whether a recipe, a store and an environment are still the ones of its
checkpoint.

Not its job: the numbers of the checkpoint (the session).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from m4nmt.core.config import ConfigError, config_hash, parse_json, to_dict
from m4nmt.data.settings import ByLoss, Temperature, Weights
from m4nmt.data.store import Store
from m4nmt.optim.settings import Constant, InverseSqrt
from m4nmt.train.settings import RunConfig

NAME = "identity.json"

# What may differ between a checkpoint and the recipe that goes on from it: where files lie (the
# fingerprint of the store is compared instead), how a step is computed, when to look and save, and
# the stages after training. A dot at the end stands for a whole section.
HARMLESS = (
    "data.manifest",
    "data.root",
    "data.tokenizer.path",
    "data.tokenizer.threads",
    "parallel.",
    "search.",
    "evaluate.",
    "train.average",
    "train.average_every",
    "train.choose",
    "train.compare_every",
    "train.early_stopping",
    "train.keep",
    "train.log_every",
    "train.monitor_every",
    "train.save_every",
    "train.save_in_background",
    "train.sinks",
    "train.validate_every",
    "train.validate_rows",
    "train.workers",
)
# Not where the mixture follows the validation loss.
_DECISIVE = ("train.validate_every", "train.validate_rows")
_OVERRIDE = "--accept-changes goes on all the same, and the journal says so"
_ABSENT = "(not there)"


class IdentityError(RuntimeError):
    """A run folder belongs to other data or another tokenizer; says what and how to mend it."""


@dataclass(frozen=True)
class Identity:
    """Saved in every checkpoint."""

    config: Mapping[str, Any]
    config_sha256: str
    tokenizer_sha256: str
    data: str
    environment: Mapping[str, Any]

    @classmethod
    def of(cls, config: RunConfig, store: Store, environment: Mapping[str, Any]) -> "Identity":
        """Of a run that starts now."""
        return cls(
            to_dict(config),
            config_hash(config),
            store.tokenizer.sha256,
            store.fingerprint,
            environment,
        )

    def encode(self) -> bytes:
        """As a blob of a checkpoint."""
        return json.dumps(vars(self), ensure_ascii=False).encode()

    @classmethod
    def read(cls, checkpoint: Path) -> "Identity":
        """Of a verified checkpoint."""
        return cls(**parse_json((checkpoint / NAME).read_text("utf-8"), str(checkpoint / NAME)))

    def check_config(self, config: RunConfig, run: Path, accept: bool = False) -> list[str]:
        """The changes, as lines for people.

        Args:
            accept: let those pass, too, that make another run of it.

        Raises:
            ConfigError: a change that would make another run of it; shows all of them.
        """
        changes = differences(self.config, to_dict(config))
        bad = [path for path in changes if not _harmless(path, config)]
        if bad and not accept:
            shown = "\n  ".join(changes[path] for path in bad)
            raise ConfigError(
                f"{run} was trained with another recipe:\n  {shown}\n"
                f"put these back to go on, or give another run folder to begin anew ({_OVERRIDE})"
            )
        return list(changes.values())

    def check_store(self, store: Store, run: Path, accept: bool = False) -> list[str]:
        """What is wrong with tokenizer and data, as lines for people: nothing, unless accepted.

        Raises:
            IdentityError: another tokenizer or other data, with both hashes.
        """
        pairs = (
            ("tokenizer", self.tokenizer_sha256, store.tokenizer.sha256),
            ("training data", self.data, store.fingerprint),
        )
        wrong = [
            f"the {what} in {store.out} is not the one {run} was trained with "
            f"({theirs[:12]}, not {ours[:12]})"
            for what, ours, theirs in pairs
            if ours != theirs
        ]
        if wrong and not accept:
            raise IdentityError(
                f"{'; '.join(wrong)}; put the old one back, or give another run folder to begin "
                f"anew ({_OVERRIDE})"
            )
        return wrong

    def environment_changes(self, environment: Mapping[str, Any]) -> list[str]:
        """What differs now, as lines: numbers may then differ in their last bits."""
        changes = differences(self.environment, environment)
        return [text for path, text in changes.items() if not path.startswith("command")]


def differences(old: Any, new: Any) -> dict[str, str]:
    """Path -> "path: old -> new" wherever plain data differ."""
    one, other = dict(_leaves("", old)), dict(_leaves("", new))
    found = {}
    for path in sorted(one.keys() | other.keys()):
        a, b = one.get(path, _ABSENT), other.get(path, _ABSENT)
        if a != b:
            found[path] = f"{path}: {a} -> {b}"
    return found


def _leaves(path: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, Mapping):
        items = [(str(k), v) for k, v in value.items()]
    elif isinstance(value, list | tuple):
        items = [(str(i), v) for i, v in enumerate(value)]
    else:
        return [(path, json.dumps(value, ensure_ascii=False))]
    return [leaf for key, v in items for leaf in _leaves(f"{path}.{key}".lstrip("."), v)]


def _harmless(path: str, config: RunConfig) -> bool:
    if path == "train.steps":
        # More or fewer steps of the same stream, where nothing else looks at the number.
        return isinstance(config.schedule, Constant | InverseSqrt) and isinstance(
            config.data.mixture, Temperature | Weights
        )
    if path in _DECISIVE and isinstance(config.data.mixture, ByLoss):
        return False
    return any(
        path.startswith(known) if known.endswith(".") else f"{path}.".startswith(f"{known}.")
        for known in HARMLESS
    )
