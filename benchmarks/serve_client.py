"""A small HTTP client for loading a service: keep-alive, no parsing beyond status and length.

Not its job: what is measured (serve_load.py).
"""

import asyncio
import json
import time
from collections.abc import Sequence
from typing import NamedTuple


class Question(NamedTuple):
    """One text and its direction."""

    text: str
    src: str
    tgt: str

    @property
    def message(self) -> bytes:
        """The request as it is sent."""
        asked = {"q": self.text, "source": self.src, "target": self.tgt}
        body = json.dumps(asked).encode()
        head = f"POST /translate HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        return f"{head}Content-Type: application/json\r\n\r\n".encode() + body


class Outcome(NamedTuple):
    """An answer: status (0: the connection broke), seconds, and whether it says when to return."""

    status: int
    seconds: float
    says_when: bool


class Client:
    """Connections to one server, used again when they are free."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, message: bytes) -> Outcome:
        """Send a request and wait for the whole answer."""
        begun = time.perf_counter()
        try:
            reader, writer = self._free.pop() if self._free else await self._new()
            writer.write(message)
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length))
        except (OSError, asyncio.IncompleteReadError, ValueError):
            return Outcome(0, time.perf_counter() - begun, False)
        seconds = time.perf_counter() - begun
        if b"connection: close" in head.lower():
            writer.close()
        else:
            self._free.append((reader, writer))
        return Outcome(int(head[9:12]), seconds, b"retry-after" in head.lower())

    async def _new(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self._port)


async def closed(
    port: int, messages: Sequence[bytes], connections: int, seconds: float
) -> tuple[list[Outcome], float]:
    """So many clients, each asking as soon as it was answered; the outcomes, and the time it took.

    Messages are taken in turn, from the start again when they are used up.
    """
    ends, following = time.perf_counter() + seconds, 0
    found: list[Outcome] = []

    async def one() -> None:
        nonlocal following
        client = Client(port)
        while time.perf_counter() < ends:
            message = messages[following % len(messages)]
            following += 1
            found.append(await client.ask(message))

    begun = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(connections)))
    return found, time.perf_counter() - begun


async def opened(
    port: int, messages: Sequence[bytes], rate: float, seconds: float
) -> list[Outcome]:
    """Requests that arrive at a fixed rate, whether or not earlier ones were answered."""
    client, tasks = Client(port), []
    begun = time.perf_counter()
    for i in range(int(rate * seconds)):
        delay = begun + i / rate - time.perf_counter()
        if delay > 0:
            await asyncio.sleep(delay)
        tasks.append(asyncio.create_task(client.ask(messages[i % len(messages)])))
    return list(await asyncio.gather(*tasks))
