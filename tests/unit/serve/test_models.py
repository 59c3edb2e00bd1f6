"""Several models at once, and new versions of them put to work while requests go on."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from serve_helpers import FakeTranslator, Running, running

from m4nmt.data.types import Direction
from m4nmt_serve.operate import digest
from m4nmt_serve.server import listen
from m4nmt_serve.settings import ServeConfig

TOKEN = "open sesame"
ADMIN = {"authorization": f"Bearer {TOKEN}"}
CONFIG = ServeConfig(admin_sha256=digest(TOKEN), cache_chars=0)


class Versions:
    """Loads the next of its translators, or raises what stands there."""

    def __init__(self, *versions: FakeTranslator | Exception) -> None:
        self.versions = list(versions)

    def __call__(self) -> FakeTranslator:
        made = self.versions.pop(0)
        if isinstance(made, Exception):
            raise made
        return made


class Tagged(FakeTranslator):
    """Says which version it is."""

    def __init__(self, tag: str, seconds: float = 0.0) -> None:
        super().__init__(seconds)
        self.tag = tag

    def translate(self, texts, *args, **kwargs):  # type: ignore[no-untyped-def]
        found = super().translate(texts, *args, **kwargs)
        return [[type(t)(f"{self.tag}: {t.text}", t.score) for t in best] for best in found]


def ask(up: Running, q: str, **more: str) -> httpx.Response:
    return up.client.post("translate", json={"q": q, "source": "en", "target": "de", **more})


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for it."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.01)


@contextlib.contextmanager
def traffic(up: Running, clients: int = 6) -> Iterator[tuple[Counter[int], Counter[str]]]:
    """Clients that ask without a pause while the block runs; statuses, and versions that
    answered."""
    statuses: Counter[int] = Counter()
    versions: Counter[str] = Counter()
    ends = threading.Event()

    def go_on(number: int) -> None:
        with httpx.Client(base_url=up.url, timeout=20) as client:
            turn = 0
            while not ends.is_set():
                turn += 1
                body = {"q": f"{number} {turn}", "source": "en", "target": "de"}
                answer = client.post("translate", json=body)
                statuses[answer.status_code] += 1
                versions[answer.text[:40].partition(": eng>deu")[0][-1]] += 1

    threads = [threading.Thread(target=go_on, args=(i,)) for i in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield statuses, versions
    finally:
        ends.set()
        for thread in threads:
            thread.join()


def test_a_reload_under_constant_traffic_fails_no_request() -> None:
    load = Versions(*(Tagged(tag, 0.01) for tag in "ABC"))
    with running(load, CONFIG) as up, traffic(up) as (statuses, versions):
        for tag in "AB":
            until(lambda tag=tag: versions[tag] > 5)
            told = up.client.post("admin/reload", headers=ADMIN)
            assert told.json() == {"status": "loaded", "models": ["fake"]}
        until(lambda: versions["C"] > 5)
    assert set(statuses) == {200}
    assert set(versions) == set("ABC")


def test_what_the_old_version_has_begun_it_finishes_and_then_it_is_gone() -> None:
    old = Tagged("A", 0.5)
    gone = weakref.ref(old)
    load = Versions(old, Tagged("B"))
    with running(load, CONFIG) as up:
        first: list[httpx.Response] = []
        thread = threading.Thread(target=lambda: first.append(ask(up, "begun before")))
        thread.start()
        time.sleep(0.2)
        assert up.client.post("admin/reload", headers=ADMIN).status_code == 200
        assert ask(up, "asked after").json()["translatedText"].startswith("B: ")
        thread.join()
        assert first[0].json()["translatedText"].startswith("A: ")
        del old
        until(lambda: gone() is None)  # its memory is free
        assert 'm4nmt_loads_total{model="fake",outcome="loaded"} 2' in up.service.meters.page()


@pytest.mark.parametrize("fault", ["cannot be read", "cannot translate"])
def test_a_new_version_that_does_not_work_changes_nothing(fault: str) -> None:
    broken: FakeTranslator | Exception = OSError("its file is damaged")
    if fault == "cannot translate":
        broken = FakeTranslator()
        broken.directions = (Direction("eng_Latn", "eng_Latn"),)
    load = Versions(Tagged("A", 0.01), broken, Tagged("C"))
    with running(load, CONFIG) as up, traffic(up, 2) as (statuses, versions):
        until(lambda: versions["A"] > 5)
        told = up.client.post("admin/reload", headers=ADMIN)
        assert told.status_code == 409
        assert "kept as they were: fake: " in told.json()["error"]
        assert up.client.get("ready").status_code == 200
        before = versions["A"]
        until(lambda: versions["A"] > before + 5)
        assert set(versions) == {"A"}
        assert up.client.post("admin/reload", headers=ADMIN).status_code == 200
    assert set(statuses) == {200}


def test_only_who_has_the_token_loads_models() -> None:
    with running(FakeTranslator(), CONFIG) as up:
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {TOKEN}"}):
            assert up.client.post("admin/reload", headers=headers).status_code == 401
        asked = up.client.post("admin/reload", params={"model": "other"}, headers=ADMIN)
        assert (asked.status_code, "models: fake" in asked.json()["error"]) == (400, True)
    with running(FakeTranslator()) as up:
        closed = up.client.post("admin/reload", headers=ADMIN)
        assert (closed.status_code, "M4NMT_ADMIN_TOKEN" in closed.json()["error"]) == (403, True)


def _knows(translator: FakeTranslator, *pairs: str) -> FakeTranslator:
    translator.directions = tuple(Direction(*pair.split("-")) for pair in pairs)
    return translator


def test_each_direction_goes_to_the_first_model_that_knows_it() -> None:
    small = _knows(Tagged("s"), "eng_Latn-swh_Latn")
    large = _knows(Tagged("l"), "eng_Latn-swh_Latn", "eng_Latn-deu_Latn")
    with running({"small": lambda: small, "large": lambda: large}, CONFIG) as up:
        assert ask(up, "x", target="sw").json()["translatedText"] == "s: eng>swh x"
        assert ask(up, "x", target="de").json()["translatedText"] == "l: eng>deu x"
        targets = {x["code"]: x["targets"] for x in up.client.get("languages").json()}
        assert targets["en"] == ["de", "sw"]
        models = {m["name"]: m for m in up.client.get("v1/models").json()}
        assert list(models) == ["small", "large"]
        assert models["small"]["targets"] == ["swh_Latn"]
        assert models["large"]["targets"] == ["deu_Latn", "swh_Latn"]
        page = up.service.meters.page()
    assert 'm4nmt_texts_total{model="small",outcome="translated"} 1' in page
    assert 'm4nmt_texts_total{model="large",outcome="translated"} 1' in page


def test_a_domain_goes_to_the_first_model_that_knows_it() -> None:
    plain, law = _knows(Tagged("p"), "eng_Latn-deu_Latn"), _knows(Tagged("l"), "eng_Latn-deu_Latn")
    plain.domains, law.domains = (), ("law",)
    with running({"plain": lambda: plain, "law": lambda: law}, CONFIG) as up:
        body = {"text": "x", "source": "en", "target": "de"}
        for more, model in (({}, "plain"), ({"domain": "law"}, "law")):
            made = up.client.post("v1/translate", json=body | more).json()
            assert made["model"] == model
            assert made["translations"][0]["options"][0]["text"] == f"{model[0]}: eng>deu x"
        for more, knows in (({"domain": "news"}, "none"), ({"domain": "x", "model": "law"}, "law")):
            refused = up.client.post("v1/translate", json=body | more)
            assert refused.status_code == 400
            assert f"this model knows {knows}" in refused.json()["error"]
        domains = {m["name"]: m["domains"] for m in up.client.get("v1/models").json()}
        assert domains == {"plain": [], "law": ["law"]}


def test_one_of_several_models_is_loaded_anew() -> None:
    one, other = Versions(Tagged("A"), Tagged("B")), Versions(Tagged("C"))
    with running({"one": one, "other": other}, CONFIG) as up:
        told = up.client.post("admin/reload", params={"model": "one"}, headers=ADMIN)
        assert told.json() == {"status": "loaded", "models": ["one"]}
        versions = {m["name"]: m["versions"] for m in up.client.get("v1/models").json()}
        assert versions == {"one": 2, "other": 1}
        assert ask(up, "x").json()["translatedText"].startswith("B: ")


_PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from serve_helpers import FakeTranslator
from m4nmt_serve.server import run
run(FakeTranslator, port=int(sys.argv[2]))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")
def test_sighup_loads_the_models_anew() -> None:
    with listen("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-c", _PROGRAM, str(Path(__file__).parent), str(port)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}/", timeout=30) as client,
    ):
        try:

            def versions() -> int:
                with contextlib.suppress(httpx.TransportError):
                    if client.get("ready").status_code == 200:
                        return int(client.get("v1/models").json()[0]["versions"])
                return 0

            until(lambda: versions() == 1, 60)
            os.kill(process.pid, signal.SIGHUP)
            until(lambda: versions() == 2)
        finally:
            process.kill()
