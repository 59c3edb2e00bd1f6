"""The service against its own engine, and the service under ten times what it can do.

    python benchmarks/serve_load.py runs/quickstart --layers 12 --threads 1

Engine alone: Translator.translate in this process on all texts at once. Service: `m4nmt serve` in
a process of its own, without its cache, asked by so many connections, one text a request. Both
take turns; the ratio is the median, over turns, of the two neighbours, which other work on the
machine disturbs least. Clients run on the same machine and count against the service.

Then requests come at ten times the measured capacity, whoever is not answered (open loop), round
after round, from a process that leaves the processors to others (nice). What a request is answered,
and when, is told by a second client with little to do, by the flooding one, and by the server's
log; a lone request tells when the service has recovered. Then a thousand connections drip, and
requests are abandoned.

The texts are the run's own test sets, repeated sentences removed. --layers measures a model that
says the same at the cost of that many layers a stack (decode_ctranslate2.py). The page is printed
and written to benchmarks/results/.
"""

import argparse
import contextlib
import datetime
import multiprocessing
import os
import platform
import resource
import socket
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

from decode_ctranslate2 import deepened
from machine import processor
from serve_client import Outcome, Question, Wire, closed, opened
from serve_process import Server, Told, serving

from m4nmt.checkpoint.model import load_model
from m4nmt.data.store import Store
from m4nmt.evaluate.testsets import from_store
from m4nmt.exchange.folder import write_export
from m4nmt.translate.translator import Translator

HERE = Path(__file__).resolve().parent
TIMES = 10  # capacity, in overload
PROBES = 50  # requests a second of the client with little to do
NICE = 10  # of the flood: the service and that client go first


class Page:
    """Lines of Markdown, printed as they come."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, *lines: str) -> None:
        """More of it."""
        self.lines += lines
        print("\n".join(lines), flush=True)


class Normal(NamedTuple):
    """How the service does at the usual load: texts a second, and p99 in seconds."""

    rate: float
    p99: float


def questions(run: Path, sentences: int) -> list[Question]:
    """Different texts of all of the run's test directions, mixed."""
    columns = []
    for bitext in from_store(Store.open(run / "data"), "test"):
        texts = list(dict.fromkeys(bitext.read()[0]))[:sentences]
        columns.append(
            [Question(text, bitext.direction.src, bitext.direction.tgt) for text in texts]
        )
    longest = max(map(len, columns))
    return [column[i] for i in range(longest) for column in columns if i < len(column)]


def alone(translator: Translator, asked: Sequence[Question], seconds: float) -> float:
    """Texts a second of the engine, all texts in one call, again until the time is over."""
    texts, sources, targets = zip(*asked, strict=True)
    begun, done = time.perf_counter(), 0
    while time.perf_counter() < begun + seconds:
        translator.translate(texts, sources, targets)
        done += len(texts)
    return done / (time.perf_counter() - begun)


def at(seconds: Sequence[float], share: float) -> float:
    """A quantile."""
    return sorted(seconds)[min(len(seconds) - 1, int(share * len(seconds)))] if seconds else 0.0


def lone(server: Server, messages: Sequence[bytes]) -> list[float]:
    """Seconds of requests one after another."""
    with Wire(server.port) as wire:
        return [wire.whole(message).seconds for message in messages]


def normal(
    page: Page,
    server: Server,
    translator: Translator,
    asked: list[Question],
    given: argparse.Namespace,
) -> Normal:
    """Engine and service in turns."""
    messages = [question.message for question in asked]
    rates, tails, ratios, lost = [], [], [], 0
    page.say(
        f"## {given.connections} connections",
        "",
        "| turn | engine, texts/s | service, texts/s | ratio | p50 s | p99 s | texts a batch |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    )
    for turn in range(given.turns):
        engine = alone(translator, asked[: given.chunk], given.seconds)
        before = server.measure("m4nmt_batch_texts_sum"), server.measure("m4nmt_batch_texts_count")
        found, took = closed(server.port, messages, given.connections, given.seconds)
        texts = server.measure("m4nmt_batch_texts_sum") - before[0]
        batches = server.measure("m4nmt_batch_texts_count") - before[1]
        good = [o.seconds for o in found if o.status == 200]
        lost += len(found) - len(good)
        rates.append(len(good) / took)
        tails.append(at(good, 0.99))
        ratios.append(rates[-1] / engine)
        page.say(
            f"| {turn + 1} | {engine:.1f} | {rates[-1]:.1f} | {ratios[-1]:.3f} | "
            f"{at(good, 0.5):.3f} | {tails[-1]:.3f} | {texts / max(1, batches):.1f} |"
        )
    page.say(
        "",
        f"Service to engine, median: **{statistics.median(ratios):.3f}**. Normal p99: "
        f"{statistics.median(tails):.3f} s. Not answered with 200: {lost}.",
        "",
    )
    return Normal(statistics.median(rates), statistics.median(tails))


def overload(
    page: Page, server: Server, asked: list[Question], usual: Normal, given: argparse.Namespace
) -> None:
    """Ten times capacity, then how soon a lone request is as quick as before; some rounds."""
    messages, rate = [question.message for question in asked], TIMES * usual.rate
    before = statistics.median(lone(server, messages[:9]))
    resident = [server.measure("process_resident_memory_bytes")]
    seen: list[Outcome] = []
    probed: list[Outcome] = []
    recovered: list[float] = []
    mark = server.log.stat().st_size
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, os.nice, (NICE,)) as pool:
        for _ in range(given.rounds):
            flood = pool.submit(opened, server.port, messages, rate, given.seconds)
            probed += opened(server.port, messages[::-1], PROBES, given.seconds)
            seen += flood.result()
            recovered.append(recovery(server, messages[7:8], 2 * before + 0.05))
            resident.append(server.measure("process_resident_memory_bytes"))
    page.say(
        "## Overload",
        "",
        f"{rate:.0f} requests/s ({TIMES} times capacity), {given.rounds} rounds of "
        f"{given.seconds:g} s.",
        "",
        "| seen by | answer | requests | p50 ms | p99 ms | longest ms |",
        "|---|---|---:|---:|---:|---:|",
    )
    sides = ("a light client", probed), ("the flood", seen), ("the server", server.told(mark))
    for who, rows in sides:
        for status in sorted({row.status for row in rows}):
            page.say(f"| {who} | {status or 'none'} | {spread(rows, status)} |")
    accepted = at([o.seconds for o in seen if o.status == 200], 0.99)
    silent = sum(o.status == 429 and not o.says_when for o in seen)
    grown = [f"{size / 2**20:.0f}" for size in resident]
    page.say(
        "",
        f"Accepted p99 to normal p99: **{accepted / usual.p99:.2f}**. 429 without Retry-After: "
        f"{silent}. Resident memory in MiB, before and after each round: {', '.join(grown)}. "
        f"Recovery: {max(recovered):.2f} s at most (a lone request: {before:.3f} s).",
        "",
    )


def spread(rows: Sequence[Outcome | Told], status: int) -> str:
    """Cells of a table."""
    ms = [1000 * row.seconds for row in rows if row.status == status]
    return f"{len(ms)} | {at(ms, 0.5):.0f} | {at(ms, 0.99):.0f} | {max(ms):.0f}"


def recovery(server: Server, messages: Sequence[bytes], quick: float) -> float:
    """Seconds until a lone request takes no longer than `quick`; 60 at most."""
    begun = time.perf_counter()
    while lone(server, messages)[0] > quick and time.perf_counter() < begun + 60:
        pass
    return time.perf_counter() - begun


def slow(page: Page, server: Server, asked: list[Question], connections: int) -> None:
    """Lone requests while so many connections drip a head or a body."""
    messages = [question.message for question in asked]
    before = statistics.median(lone(server, messages[:9]))
    drips = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(connections)]
    for i, drip in enumerate(drips):
        drip.sendall(messages[0][: 30 if i % 2 else -5])
    seconds = lone(server, messages[:9])
    page.say(
        "## Slow and abandoned requests",
        "",
        f"{connections} dripping connections, half in the head, half in the body: a lone request "
        f"takes {statistics.median(seconds):.3f} s (longest of 9: {max(seconds):.3f} s), before "
        f"{before:.3f} s.",
        "",
    )
    for drip in drips:
        drip.close()


def abandoned(page: Page, server: Server, asked: list[Question]) -> None:
    """How long the engine is busy with what nobody waits for."""
    text = " ".join(question.text for question in asked[::7])[:1900]
    taken = []
    for i in range(5):
        message = Question(f"{i} {text}", asked[0].src, asked[0].tgt).message
        with socket.create_connection(("127.0.0.1", server.port)) as leaver:
            leaver.sendall(message)
            time.sleep(0.15)
        begun = time.perf_counter()
        while server.measure("m4nmt_open_texts"):
            time.sleep(0.001)
        taken.append(time.perf_counter() - begun)
    whole = lone(server, [Question(text, asked[0].src, asked[0].tgt).message])[0]
    page.say(
        f"A text that takes {whole:.2f} s, left after 0.15 s, is gone from the engine "
        f"{1000 * statistics.median(taken):.0f} ms later (longest of 5: "
        f"{1000 * max(taken):.0f} ms)."
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a run, or its model folder")
    parser.add_argument("--layers", type=int, default=0, help="of a stack (0: the model's own)")
    parser.add_argument("--quantize", default="float32")
    parser.add_argument("--threads", type=int, default=1, help="of the engine, both times")
    parser.add_argument("--sentences", type=int, default=200, help="of each test set")
    parser.add_argument(
        "--chunk", type=int, default=512, help="texts of a call of the engine alone"
    )
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--slow", type=int, default=1000, help="connections that drip")
    parser.add_argument("--seconds", type=float, default=10, help="of a turn")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3, help="of overload")
    parser.add_argument("--set", action="append", default=[], help="of the service; repeatable")
    day = datetime.date.today().isoformat()
    name = f"serve_load_{platform.machine()}_{day}.md"
    parser.add_argument("--out", type=Path, default=HERE / "results" / name)
    return parser.parse_args()


def _head(page: Page, given: argparse.Namespace, asked: Sequence[Question]) -> None:
    chars = statistics.mean(len(question.text) for question in asked)
    changes = ", ".join(given.set) or "none"
    page.say(
        "# The service under load",
        "",
        f"{processor()}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} at the "
        f"beginning, {datetime.date.today().isoformat()}; the engine has {given.threads} threads. "
        f"Model {given.run.resolve().name}, {given.layers or 'its own'} layers a stack, "
        f"{given.quantize}; {len(asked)} texts of {chars:.0f} characters; no cache; other changes "
        f"of settings: {changes}.",
        "",
    )


def main() -> None:
    """Print the page and write it."""
    given = _arguments()
    with contextlib.suppress(ValueError):
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    run = given.run.parent if given.run.name == "model" else given.run
    page = Page()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        model = load_model(given.run)
        wanted = deepened(model, given.layers) if given.layers else model
        write_export(wanted, folder / "model", given.quantize)
        asked = questions(run, given.sentences)
        _head(page, given, asked)
        translator = Translator.load(folder / "model", threads=given.threads)
        changes = [f"--set={change}" for change in ("cache_chars=0", *given.set)]
        options = [f"--threads={given.threads}", *changes]
        with serving(folder / "model", folder, options) as server:
            usual = normal(page, server, translator, asked, given)
            overload(page, server, asked, usual, given)
            slow(page, server, asked, given.slow)
            abandoned(page, server, asked)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text("\n".join(page.lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
