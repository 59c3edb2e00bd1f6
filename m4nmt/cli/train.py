"""`m4nmt train`: train a recipe, or go on with a run."""

import argparse
import logging
import os
import sys
import time
from typing import TYPE_CHECKING

from m4nmt.cli.common import add_recipe, recipe_and_run
from m4nmt.core.config import ConfigError

if TYPE_CHECKING:
    from m4nmt.parallel.world import World


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """RECIPE, --set, --run, --accept-changes, --devices, --restarts, --min-devices."""
    add_recipe(parser)
    parser.add_argument(
        "--accept-changes",
        action="store_true",
        help="go on though recipe, data or tokenizer are not those of the run folder",
    )
    parser.add_argument(
        "--devices",
        type=int,
        metavar="N",
        help="train in N processes on this machine, one a GPU or part of the cores",
    )
    parser.add_argument(
        "--restarts",
        type=int,
        default=3,
        metavar="N",
        help="with --devices: start again at most N times when a process dies (default: 3)",
    )
    parser.add_argument(
        "--min-devices",
        type=int,
        metavar="N",
        help="with --devices: a device that fails twice in a row is left out, if N or more are "
        "left (default: as many as --devices)",
    )


def run(args: argparse.Namespace) -> int:
    """Train to the end, or to a signal."""
    if args.devices is not None:
        return _launch(args)
    from torch.cuda import AcceleratorError

    from m4nmt.cli.launch import follow
    from m4nmt.core.ranks import LostRankError
    from m4nmt.parallel.watchdog import EXIT
    from m4nmt.train.run import train
    from m4nmt.train.trainer import HardwareError

    world = _place()
    follow()
    if not world.leader:
        # Only what goes wrong, and past the console, which is rank 0's.
        logging.basicConfig(level=logging.WARNING, format="%(message)s", force=True)
    config, folder = recipe_and_run(args)
    try:
        outcome = train(config, folder, args.accept_changes)
    except (LostRankError, HardwareError, AcceleratorError) as error:
        print(f"m4nmt train: {type(error).__name__}: {error}", file=sys.stderr)
        return _lost(error, world.rank)
    if world.leader:
        print(f"{outcome.status} at step {outcome.step}; model: {outcome.model}", file=sys.stderr)
    if outcome.status == "stopped" and world.machines > 1:
        return EXIT  # torchrun would take 0 for the end of the run, on machines that go on, too
    return 1 if outcome.status == "failed" else 0


def _lost(error: Exception, rank: int) -> int:
    """Exit code of a process that lost another one, which is let go first, or its own device."""
    from torch.cuda import AcceleratorError

    from m4nmt.parallel.watchdog import COURTESY, DEVICE, EXIT
    from m4nmt.train.trainer import HardwareError

    if isinstance(error, AcceleratorError) or isinstance(error.__cause__, AcceleratorError):
        return DEVICE
    if isinstance(error, HardwareError) and rank in error.ranks:
        return DEVICE
    time.sleep(COURTESY)
    return EXIT


def _place() -> "World":
    """This process among those of the run.

    Raises:
        ConfigError: the launch is half configured.
    """
    from m4nmt.parallel.world import place

    try:
        return place(os.environ)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _launch(args: argparse.Namespace) -> int:
    """The same command in processes of their own.

    Raises:
        ConfigError: the recipe does not fit so many devices, or they were started already.
    """
    from m4nmt.cli.devices import Devices
    from m4nmt.cli.launch import launch
    from m4nmt.parallel.world import uses_cuda

    if args.devices < 1 or args.restarts < 0:
        raise ConfigError("need --devices of at least 1 and --restarts of at least 0")
    fewest = args.devices if args.min_devices is None else args.min_devices
    if not 1 <= fewest <= args.devices:
        raise ConfigError(f"need --min-devices of 1 to {args.devices} (--devices)")
    if _place().size > 1:
        raise ConfigError("torchrun or accelerate has started the processes; leave --devices out")
    config, _ = recipe_and_run(args)
    try:
        config.parallel.layout(args.devices)
        gpus = uses_cuda(config.parallel.device, args.devices - 1)
    except ValueError as error:
        raise ConfigError(f"--devices {args.devices}: {error}") from error
    devices = Devices(args.devices, fewest, config.parallel.layout)
    return launch(["-m", "m4nmt", *_again(args)], devices, args.restarts, gpus)


def _again(args: argparse.Namespace) -> list[str]:
    """The command line without what concerns the launch."""
    words = ["--debug"] if args.debug else []
    words += ["train", args.recipe]
    for change in args.set:
        words.append(f"--set={change}")
    if args.run is not None:
        words.append(f"--run={args.run}")
    return words + ["--accept-changes"] * args.accept_changes
