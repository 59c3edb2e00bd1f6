"""Kill a save before each of its system calls, and see what is left. Run as a script:

    python kill_driver.py FOLDER checkpoint|model

Every round forks a child (torch is imported once), which saves and sends itself SIGKILL at the
n-th call (the moment after a call is the one before the next). Prints one JSON line: rounds, and
what was wrong with each bad one.
"""

import itertools
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from checkpoint_toys import blobs, card, same, state, tokenizer_folder, weights, zeros

from m4nmt.checkpoint import load, store
from m4nmt.checkpoint.manifest import folder_name, verify
from m4nmt.checkpoint.model import load_model, save_model

CALLS = ("fsync", "rename", "replace", "mkdir", "unlink", "rmdir", "open", "posix_fadvise")


def die_at(point: int) -> None:
    """Make this process kill itself before its `point`-th watched call."""
    moments = itertools.count(1)

    def watch(call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            if next(moments) == point:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **kwargs)

        return watched

    for name in CALLS:
        setattr(os, name, watch(getattr(os, name)))


def killed(job: Callable[[], object], point: int) -> bool:
    """Run a job in a child that dies at `point`; False when it ended before."""
    child = os.fork()
    if child == 0:
        die_at(point)
        try:
            job()
        except BaseException:
            os._exit(99)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise RuntimeError(f"the save failed by itself at point {point}")
    return os.WIFSIGNALED(status)


def checkpoints(folder: Path, point: int) -> tuple[bool, str]:
    """One round for training checkpoints: (killed, what is wrong)."""
    root = folder / f"run{point}"
    store.save(root, 1, state(1), blobs(1), keep=1)
    dead = killed(lambda: store.save(root, 2, state(2), blobs(2), keep=1), point)
    found = load.newest_good(root)
    if found is None:
        return dead, "no latest"
    for step in store.steps(root):
        verify(root / folder_name(step))
    into = zeros()
    if load.restore(found.path, into) != blobs(found.step) or not same(into, state(found.step)):
        return dead, "the latest holds other values"
    if not dead and found.step != 2:
        return dead, "an undisturbed save is not the latest"
    store.save(root, 3, state(3), blobs(3), keep=1)
    left = [path.name for path in root.iterdir()]
    return dead, "" if left == ["step-0000000003"] else f"left behind: {left}"


def models(folder: Path, point: int) -> tuple[bool, str]:
    """One round for model folders."""
    place, first, second = folder / f"run{point}" / "model", weights(1), weights(2)
    save_model(place, first, card(step=1), tokenizer_folder())
    dead = killed(lambda: save_model(place, second, card(step=2), tokenizer_folder()), point)
    found = load_model(place)
    if not same(found.weights, {1: first, 2: second}[found.card.step]):
        return dead, "the folder holds other weights than its card says"
    if not dead and found.card.step != 2:
        return dead, "an undisturbed save is not there"
    save_model(place, first, card(step=3), tokenizer_folder())
    left = [path.name for path in place.parent.iterdir()]
    return dead, "" if left == ["model"] else f"left behind: {left}"


def main() -> None:
    folder, job = Path(sys.argv[1]), {"checkpoint": checkpoints, "model": models}[sys.argv[2]]
    problems = {}
    for point in itertools.count(1):
        try:
            dead, problem = job(folder, point)
        except Exception as error:
            dead, problem = True, repr(error)
        if problem:
            problems[point] = problem
        if not dead or len(problems) > 5:
            break
    print(json.dumps({"rounds": point, "problems": problems}))


if __name__ == "__main__":
    main()
