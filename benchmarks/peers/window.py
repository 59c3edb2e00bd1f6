"""What all adapters share: the command line, the timed window and the line of results.

An adapter runs the training loop of a peer as the peer ships it and asks a :class:`Window`
to watch the one method that makes an update.  The clock starts when the last warm-up
update ends and stops when the last timed update ends, so that loading the data of the
timed updates is inside, and start-up and warm-up are outside.

Tokens are counted in one way for everyone: the positions of the label tensor that are not
padding.  A label sequence is the target sentence followed by its end symbol.

Nothing here imports torch at the top: the thread settings must come before it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from torch import Tensor, nn

LAYERS = 6
WIDTH = 256
HIDDEN = 1_024
HEADS = 4
DROPOUT = 0.1
LABEL_SMOOTHING = 0.1
LEARNING_RATE = 3e-4
BETAS = (0.9, 0.98)
EPSILON = 1e-9
SEED = 1

# The modules beside this file carry the names of the peers: once the script has found its
# neighbours, its own folder must not hide the installed packages.
HERE = Path(__file__).resolve().parent


def unshadow() -> None:
    """Take the folder of the adapters off the import path."""
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != HERE]


class WindowClosed(BaseException):
    """Raised in the training loop of a peer when the last timed update has ended.

    It is no ``Exception``, so that no handler of a peer takes it for a fault.
    """


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command line that every adapter understands."""

    corpus: Path
    updates: int
    warmup: int
    threads: int
    batch_tokens: int
    inner_dropout: float
    model: str


def parse_options(models: tuple[str, ...] = ("transformer",)) -> Options:
    """Read the command line; then fix the threads, before torch is imported."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--corpus", type=Path, required=True, help="folder made by corpus.py")
    parser.add_argument("--updates", type=int, required=True, help="timed updates")
    parser.add_argument("--warmup", type=int, required=True, help="updates before them")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--batch-tokens", type=int, default=2_048, help="target tokens")
    parser.add_argument(
        "--inner-dropout",
        type=float,
        default=0.0,
        help="dropout of attention weights and inside the feed-forward, where it can be set",
    )
    parser.add_argument("--model", choices=models, default=models[0])
    options = Options(**vars(parser.parse_args()))
    if options.updates < 1 or options.warmup < 1 or options.threads < 1:
        parser.error("--updates, --warmup and --threads must be at least 1")
    fix_threads(options.threads)
    return options


def fix_threads(threads: int) -> None:
    """Give torch ``threads`` threads that sleep while they wait."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    os.environ["OMP_WAIT_POLICY"] = "passive"
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import torch

    torch.set_num_threads(threads)


@dataclass
class Window:
    """Counts and times the updates between warm-up and end."""

    warmup: int
    updates: int
    done: int = 0
    tokens: int = 0
    cells: int = 0
    started: float = 0.0
    seconds: float = 0.0
    model: nn.Module | None = field(default=None, repr=False)

    def update(self, labels: Iterable[tuple[Tensor, int]]) -> None:
        """Note the end of an update made from these (labels, padding value) pairs."""
        now = time.perf_counter()
        self.done += 1
        if self.done == self.warmup:
            self.started = now
        if self.done <= self.warmup:
            return
        for tensor, padding in labels:
            self.tokens += int((tensor != padding).sum())
            self.cells += tensor.numel()
        if self.done == self.warmup + self.updates:
            self.seconds = now - self.started
            raise WindowClosed

    def watch(
        self,
        owner: type,
        method: str,
        labels: Callable[..., Iterable[tuple[Tensor, int]]],
        model: Callable[[Any], nn.Module],
    ) -> None:
        """Have every call of ``owner.method`` counted as one update.

        ``labels`` sees the arguments of the call and gives the label tensors;
        ``model`` sees its ``self`` and gives the model.
        """
        original = getattr(owner, method)

        def watched(instance: Any, *args: Any, **kwargs: Any) -> Any:
            result = original(instance, *args, **kwargs)
            self.model = model(instance)
            self.update(labels(instance, *args, **kwargs))
            return result

        setattr(owner, method, watched)


def run(
    system: str, package: str, options: Options, train: Callable[[Options, Window], object]
) -> None:
    """Train inside a window and print its one line of JSON on standard output.

    Whatever the peer prints goes to standard error.
    """
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    window = Window(options.warmup, options.updates)
    try:
        train(options, window)
    except WindowClosed:
        pass
    else:
        stop_short(window)
    print(json.dumps(report(system, package, options, window)), file=results, flush=True)
    # Loader processes of the peer may still be running, and some wait for each other at exit.
    sys.stderr.flush()
    os._exit(0)


def stop_short(window: Window) -> NoReturn:
    """Say that the peer ended its training before the window was full."""
    wanted = window.warmup + window.updates
    sys.exit(f"training ended after {window.done} of {wanted} updates")


def report(system: str, package: str, options: Options, window: Window) -> dict[str, Any]:
    """The results of a window, as they are printed."""
    import torch

    assert window.model is not None
    return {
        "system": system,
        "version": version(package),
        "target_tokens": window.tokens,
        "seconds": round(window.seconds, 4),
        "tokens_per_second": round(window.tokens / window.seconds, 2),
        "updates": window.updates,
        "warmup": window.warmup,
        "threads": torch.get_num_threads(),
        "batch_tokens": options.batch_tokens,
        "padded_target_tokens": window.cells,
        "parameters": sum(weight.numel() for weight in window.model.parameters()),
        "torch": torch.__version__,
    }
