"""/metrics: Prometheus can read it, the numbers are right, and it tells nothing of anybody."""

import math
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from serve_helpers import FakeTranslator, Running, running

from m4nmt_serve.metrics import CONTENT_TYPE, Counter, Gauge, Histogram, exposition
from m4nmt_serve.settings import ServeConfig

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\n"])*"'
_SAMPLE = re.compile(rf"({_NAME})(?:\{{({_LABEL}(?:,{_LABEL})*)\}})? (\S+)")
_PAIR = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\n"])*)"')
_KINDS = ("counter", "gauge", "histogram")

Labels = frozenset[tuple[str, str]]


class Family(NamedTuple):
    kind: str
    samples: dict[tuple[str, Labels], float]

    def of(self, name: str, **labels: str) -> float:
        return self.samples[(name, frozenset(labels.items()))]


def parse(page: str) -> dict[str, Family]:
    """A page in the text format 0.0.4, read as strictly as its description allows."""
    assert page.endswith("\n")
    families: dict[str, Family] = {}
    helped: set[str] = set()
    current = ""
    for line in page.splitlines():
        if line.startswith("# HELP "):
            current = line.split(" ", 3)[2]
            assert current not in helped, f"{current} is told of twice, or in two places"
            helped.add(current)
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == current
            assert kind in _KINDS
            families[name] = Family(kind, {})
        else:
            match = _SAMPLE.fullmatch(line)
            assert match, line
            name, labels, value = match.groups()
            family = families[current]
            ends = ("_bucket", "_sum", "_count") if family.kind == "histogram" else ("",)
            assert name in {current + end for end in ends}, line
            key = name, frozenset(_PAIR.findall(labels or ""))
            assert key not in family.samples, f"twice: {line}"
            family.samples[key] = float(value)
    for name, family in families.items():
        assert (family.kind == "counter") == name.endswith("_total"), name
        if family.kind == "histogram":
            _check_histogram(name, family)
    return families


def _check_histogram(name: str, family: Family) -> None:
    rows: dict[Labels, list[tuple[float, float]]] = {}
    for (sample, labels), value in family.samples.items():
        if sample.endswith("_bucket"):
            bound = float(dict(labels)["le"])
            own = frozenset(pair for pair in labels if pair[0] != "le")
            rows.setdefault(own, []).append((bound, value))
    for own, buckets in rows.items():
        assert buckets == sorted(buckets), "bounds and counts rise"
        assert [value for _, value in buckets] == sorted(value for _, value in buckets)
        assert buckets[-1][0] == math.inf
        assert buckets[-1][1] == family.samples[(f"{name}_count", own)]
        assert (f"{name}_sum", own) in family.samples


def page_of(up: Running) -> str:
    answer = up.client.get("metrics")
    assert answer.headers["content-type"] == CONTENT_TYPE
    return answer.text


def test_the_parser_of_this_test_sees_faults() -> None:
    head = "# HELP a b\n# TYPE a counter\n"
    for bad in (
        "# HELP a_total b\n# TYPE a_total counter\na_total 1",  # no line end
        head + "a 1\n",  # a counter's name
        "# HELP a_total b\n# TYPE a_total counter\na_total 1\na_total 1\n",
        '# HELP g b\n# TYPE g gauge\ng{x="a"b"} 1\n',
    ):
        with pytest.raises(AssertionError):
            parse(bad)


def test_samples_are_written_so_that_they_can_be_read() -> None:
    counter = Counter("a_total", "About.", ("what",))
    counter.add('quote " slash \\ line \n', by=0.5)
    counter.add("plain")
    spread = Histogram("b", "About.", (1, 2.5), ("x",))
    for value in (0.5, 1, 2, 100):
        spread.observe(value, "y")
    gauge = Gauge("c", "About.", lambda: {(): 7.0})
    found = parse(exposition([counter, spread, gauge]))
    assert found["a_total"].of("a_total", what='quote \\" slash \\\\ line \\n') == 0.5
    assert found["a_total"].of("a_total", what="plain") == 1
    assert [found["b"].of("b_bucket", x="y", le=le) for le in ("1", "2.5", "+Inf")] == [2, 3, 4]
    assert found["b"].of("b_sum", x="y") == 103.5
    assert found["c"].of("c") == 7


def test_what_happened_is_counted() -> None:
    config = ServeConfig(max_requests=3)
    with running(FakeTranslator(0.3), config) as up, ThreadPoolExecutor(8) as pool:
        body = {"source": "en", "target": "de"}

        def ask(q: str, timeout: float = 20) -> int:
            answer = httpx.post(up.url + "translate", json={**body, "q": q}, timeout=timeout)
            return answer.status_code

        waiting = [pool.submit(ask, "same"), pool.submit(ask, "same")]
        time.sleep(0.1)
        with pytest.raises(httpx.ReadTimeout):
            ask("left", 0.1)
        assert [future.result() for future in waiting] == [200, 200]
        assert ask("same") == 200
        crowd = [pool.submit(ask, f"{i}") for i in range(6)]
        refused = [future.result() for future in crowd].count(429)
        assert up.client.post("translate", json={**body, "q": 5}).status_code == 400
        found = parse(page_of(up))
    requests, texts = found["m4nmt_requests_total"], found["m4nmt_texts_total"]
    assert requests.of("m4nmt_requests_total", route="/translate", status="400") == 1
    answered = 3 + 6 - refused
    assert requests.of("m4nmt_requests_total", route="/translate", status="200") == answered
    assert found["m4nmt_refused_total"].of("m4nmt_refused_total", reason="requests") == refused > 0
    left = found["m4nmt_requests_left_total"]
    assert left.of("m4nmt_requests_left_total", route="/translate") == 1
    assert texts.of("m4nmt_texts_total", model="fake", outcome="joined") == 1
    assert texts.of("m4nmt_texts_total", model="fake", outcome="cached") == 1
    assert texts.of("m4nmt_texts_total", model="fake", outcome="dropped") == 1
    assert texts.of("m4nmt_texts_total", model="fake", outcome="translated") == 1 + 6 - refused
    seconds = found["m4nmt_request_seconds"]
    assert seconds.of("m4nmt_request_seconds_count", route="/translate") == answered + 1
    assert seconds.of("m4nmt_request_seconds_count", route="none") == refused  # at the gate
    assert found["process_resident_memory_bytes"].of("process_resident_memory_bytes") > 1e6
    assert found["m4nmt_open_texts"].of("m4nmt_open_texts", model="fake") == 0
    assert found["m4nmt_bodies_bytes"].of("m4nmt_bodies_bytes") == 0


def test_it_tells_nothing_of_anybody() -> None:
    with running(FakeTranslator()) as up:
        secrets = ("sesame", "203.0.113.9", "Geheimnis", "127.0.0.1")
        headers = {"authorization": "Bearer sesame", "x-forwarded-for": "203.0.113.9"}
        body = {"q": "Geheimnis", "source": "de", "target": "en", "api_key": "sesame"}
        assert up.client.post("translate", json=body, headers=headers).status_code == 200
        up.client.post("translate", params=body, headers=headers)
        up.client.post("translate", json={**body, "source": "Geheimnis"}, headers=headers)
        up.client.get("Geheimnis/sesame", headers=headers)
        up.client.request("GEHEIMNIS", "translate", headers=headers)
        page = page_of(up)
        parse(page)
    for secret in secrets:
        assert secret.lower() not in page.lower(), secret
    assert 'route="none"' in page  # what was not found has one name


def test_hostile_paths_and_methods_add_no_series() -> None:
    with running(FakeTranslator()) as up:

        def series() -> int:
            return sum(len(f.samples) for f in parse(page_of(up)).values())

        up.client.get("nothing/0")
        up.client.request("BREW", "translate")
        before = series()
        for i in range(50):
            up.client.get(f"nothing/{i}")
            up.client.request(f"BREW{i}", "translate")
        assert series() == before


def test_the_manual_names_every_measure_and_setting_as_it_is() -> None:
    manual = (Path(__file__).parents[3] / "serve" / "README.md").read_text("utf-8")
    with running(FakeTranslator()) as up:
        measures = set(parse(page_of(up)))
    told = set(re.findall(r"`([a-z0-9_]+)`", manual))
    assert measures <= told
    assert {name for name in told if name.startswith("m4nmt_")} <= measures
    table = manual.partition("| Setting |")[2].partition("\n\n")[0]
    rows = [row.split("|")[1:3] for row in table.splitlines()[2:]]
    for names, values in rows:
        for name, value in zip(re.findall(r"`(\w+)`", names), _numbers(values), strict=True):
            assert getattr(ServeConfig(), name) == value, name


def _numbers(cell: str) -> list[object]:
    """Defaults as the manual writes them."""
    if "[" in cell:
        return [("*",)]
    if '""' in cell:
        return [""]
    scale = {"MiB": 2**20}
    found = re.findall(r"(\d[\d,.]*\d|\d)(?: (MiB|s))?", cell)
    return [float(number.replace(",", "")) * scale.get(unit, 1) for number, unit in found]


def test_health_and_metrics_answer_while_the_engine_is_busy() -> None:
    with running(FakeTranslator(1.0), ServeConfig(max_requests=1)) as up:
        body = {"q": "x", "source": "en", "target": "de"}
        thread = threading.Thread(
            target=lambda: httpx.post(up.url + "translate", json=body, timeout=20)
        )
        thread.start()
        time.sleep(0.2)
        begun = time.monotonic()
        assert parse(page_of(up))["m4nmt_requests_running"].of("m4nmt_requests_running") == 1
        assert up.client.get("health").status_code == 200
        assert time.monotonic() - begun < 0.5
        thread.join()
