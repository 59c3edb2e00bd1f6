"""`m4nmt plan`: memory, time and the best layout of a run, before any money is spent."""

import argparse
import json
from pathlib import Path

from rich.console import Console

from m4nmt.cli.common import add_recipe, recipe_and_run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """RECIPE, the machine, what to print."""
    add_recipe(parser)
    parser.add_argument("--devices", type=_positive(int), default=1, help="how many (default 1)")
    parser.add_argument(
        "--memory", type=_positive(float), default=76.0, metavar="GiB",
        help="of one device (default 76: an 80 GB H100 less what the driver takes)",
    )  # fmt: skip
    parser.add_argument(
        "--flops", type=_positive(float), default=989.0, metavar="TFLOP/s",
        help="of one device in the recipe's precision (default 989: H100 SXM, bf16)",
    )  # fmt: skip
    parser.add_argument(
        "--bandwidth", type=_positive(float), default=50.0, metavar="GB/s",
        help="between devices, each way (default 50: a 400 Gbit/s card for each)",
    )  # fmt: skip
    parser.add_argument(
        "--efficiency", type=_positive(float), default=0.5, metavar="SHARE",
        help="share of the rated speed that products reach (default 0.5)",
    )  # fmt: skip
    parser.add_argument("--kernels", choices=("cuda", "cpu"), default="cuda", help="of the devices")
    parser.add_argument(
        "--search", type=int, default=5, metavar="N", help="best layouts shown; 0: none"
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write one page that explains it")


def run(args: argparse.Namespace) -> int:
    """Print the plan of the recipe's layout and the best layouts; 1 where the recipe's own layout
    cannot run or does not fit."""
    from m4nmt.plan.estimate import plan
    from m4nmt.plan.html import page
    from m4nmt.plan.job import GIB, Machine
    from m4nmt.plan.search import search
    from m4nmt.plan.show import show, show_found

    config, _ = recipe_and_run(args)
    machine = Machine(
        args.devices, args.memory * GIB, args.flops * 1e12, args.bandwidth * 1e9, args.efficiency
    )
    own, refused = None, ""
    try:
        own = plan(config, machine, args.kernels)
    except ValueError as error:
        refused = str(error)
    found = search(config, machine, args.search, args.kernels) if args.search > 0 else None
    shown = own or (found.best[0] if found and found.best else None)
    if args.html and shown is not None:
        args.html.write_text(page(shown, found), "utf-8")
    if args.json:
        best = [made.as_dict() for made in found.best] if found else []
        failed = dict(found.failed) if found else {}
        told = {"plan": own and own.as_dict(), "refused": refused, "best": best, "failed": failed}
        print(json.dumps(told, indent=1))
    else:
        console = Console()
        if own is not None:
            show(own, console)
        else:
            console.print(f"The recipe's own layout cannot run: {refused}")
        if found is not None:
            show_found(found, console)
    return 0 if own is not None and own.fits else 1


def _positive(kind: type[int] | type[float]) -> type[int] | type[float]:
    """A parser of numbers above zero."""

    def parse(text: str) -> int | float:
        value = kind(text)
        if value <= 0:
            raise argparse.ArgumentTypeError(f"{text} is not above zero")
        return value

    return parse  # type: ignore[return-value]
