"""The service under texts and requests that nobody sends on purpose, or only somebody bad does.

What is asked everywhere: never a 5xx, always JSON, and afterwards the service still answers. A
short round belongs to the default suite; `make test-slow` runs thousands.
"""

import contextlib
import json
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from evaluate_runs import make_run
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from serve_helpers import FakeTranslator, Running, running

from m4nmt.translate.translator import Translator
from m4nmt_serve.settings import ServeConfig

QUIET = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture)
PHASES = (Phase.generate,)  # nothing is remembered from earlier runs
PARTS = (
    "\0", "\ufeff", "\u2028", "\u200f", "\u202e", "\u0301" * 40, "\u200d",
    "👩‍👩‍👧‍👦", "🇩🇪", "שלום", "مرحبا", "नमस्ते", "ﷺ",
    "<2fr>", "<2deu_Latn>", "</s>", "<unk>", "<pad>", "▁",
    "__en__", "<x0/>", "{{0}}", "%s", "<0x00>", "\\u0000", "<b>", "</b>", "&#0;", "&lt;", "<!--",
    "<script>", "]]>", "<![CDATA[", "' OR 1=1 --", "../../etc/passwd", "\r\n", "\t", "one two",
)  # fmt: skip
PIECE = st.one_of(
    st.sampled_from(PARTS),
    st.text(st.characters(codec="utf-8"), max_size=20),
)
TEXT = st.lists(PIECE, max_size=6).map("".join)
TEXTS = st.lists(TEXT, min_size=1, max_size=50)
HALVES = st.sampled_from(["", "", "", "\ud800", "\udfff", "\udc00\ud800"])  # no characters


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A real model, too small to say anything, behind a server."""
    run = make_run(tmp_path_factory.mktemp("run"))
    with running(lambda: Translator.load(run, device="cpu"), ServeConfig(max_chars=10**6)) as up:
        yield up


def escaped(body: Any) -> bytes:
    """JSON as the worst clients write it: half surrogates as escapes."""
    return json.dumps(body).encode()


def post(up: Running, path: str, body: Any) -> httpx.Response:
    head = {"content-type": "application/json"}
    return up.client.post(path, content=escaped(body), headers=head)


def is_sound(answer: httpx.Response) -> None:
    assert answer.status_code < 500, (answer.status_code, answer.text[:500])
    if answer.status_code != 204:
        answer.json()


DIALECTS: dict[str, tuple[str, Callable[[list[str], str], Any]]] = {
    "libretranslate": (
        "translate",
        lambda texts, form: {"q": texts, "source": "en", "target": "fr", "format": form},
    ),
    "deepl": (
        "v2/translate",
        lambda texts, form: {
            "text": texts,
            "source_lang": "EN",
            "target_lang": "FR",
            **({"tag_handling": "html"} if form == "html" else {}),
        },
    ),
    "google": (
        "language/translate/v2",
        lambda texts, form: {"q": texts, "source": "en", "target": "fr", "format": form},
    ),
    "azure": (
        "azure/translate?api-version=3.0&from=en&to=fr",
        lambda texts, form: [{"Text": text} for text in texts],
    ),
    "own": (
        "v1/translate",
        lambda texts, form: {"texts": texts, "source": "en", "target": "fr", "format": form},
    ),
}


def texts_are_answered(up: Running, dialect: str, examples: int) -> int:
    """How many texts were sent."""
    path, body = DIALECTS[dialect]
    sent = 0
    statuses: Counter[int] = Counter()

    @settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=QUIET,
        phases=PHASES,
        derandomize=True,
    )
    @given(TEXTS, HALVES, st.sampled_from(["text", "html"]))
    def ask(texts: list[str], half: str, form: str) -> None:
        nonlocal sent
        sent += len(texts)
        answer = post(up, path, body([*texts[:-1], texts[-1] + half], form))
        is_sound(answer)
        statuses[answer.status_code] += 1
        assert answer.status_code in ((400,) if half else (200, 400)), answer.text[:300]

    ask()
    assert statuses[200] >= examples / 3, statuses
    assert up.client.get("ready").status_code == 200
    return sent


@pytest.mark.parametrize("dialect", DIALECTS)
def test_strange_texts_are_answered_or_refused(real: Running, dialect: str) -> None:
    assert texts_are_answered(real, dialect, 15)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ten_thousand_strange_texts(real: Running) -> None:
    sent = sum(texts_are_answered(real, dialect, 420) for dialect in DIALECTS)
    assert sent >= 10_000


def operations(up: Running) -> list[Any]:
    schemathesis = pytest.importorskip("schemathesis", reason="pip install schemathesis")
    schema = schemathesis.openapi.from_dict(up.client.get("openapi.json").json())
    found = [result.ok() for result in schema.get_all_operations()]
    assert len(found) > 20
    return found


def whole_interface(up: Running, examples: int) -> None:
    from schemathesis.generation import GenerationMode

    for operation in operations(up):
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @settings(
                max_examples=examples,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                phases=PHASES,
                derandomize=True,
            )
            @given(operation.as_strategy(generation_mode=mode))
            def ask(case: Any) -> None:
                answer = case.call(base_url=up.url.rstrip("/"), timeout=20)
                assert answer.status_code < 500, (case.as_curl_command(), answer.text[:500])
                told = case.operation.responses.status_codes
                assert str(answer.status_code) in told, (case.as_curl_command(), told)

            nothing_wrong = contextlib.suppress(Unsatisfiable)  # no way to call it wrongly
            with contextlib.nullcontext() if mode is GenerationMode.POSITIVE else nothing_wrong:
                ask()
    assert up.client.get("ready").status_code == 200


def test_the_whole_interface_takes_what_it_describes(tmp_path: Path) -> None:
    with running(FakeTranslator()) as up:
        whole_interface(up, 3)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_the_whole_interface_takes_thousands(tmp_path: Path) -> None:
    with running(FakeTranslator()) as up:
        whole_interface(up, 150)


RAW = (
    b"GET / FTP/9.9\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
    b"POST /translate HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n",
    b"POST /translate HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nabcde",
    b"POST /translate HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    b"POST /translate HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n"
    b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"".join(b"a%d: b\r\n" % i for i in range(20_000)) + b"\r\n",
    b"\0" * 1000,
    b"GET /%00/%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
)


@pytest.mark.parametrize("number", range(len(RAW)))
def test_what_is_no_http_is_refused(served: Running, number: int) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=15) as connection:
        with contextlib.suppress(OSError):  # it may close before all is sent
            connection.sendall(RAW[number])
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(OSError):
            while part := connection.recv(65536):
                answer += part
    assert not answer.startswith(b"HTTP/1.1 5"), answer[:200]
    assert not answer.startswith(b"HTTP/1.1 200"), answer[:200]
    assert served.client.get("health").status_code == 200


def test_queries_that_are_no_text_are_refused(served: Running) -> None:
    for query in ("q=%ff%fe&source=en&target=de", "q=" + quote("\ufffd") * 30, "q=a&q=b&source=en"):
        answer = served.client.post("translate?" + query)
        assert 200 <= answer.status_code < 500, (query, answer.text)


def test_json_that_is_deep_or_long_is_refused_soon(served: Running) -> None:
    for body in (b"[" * 200_000, b'{"a":' * 100_000, b'{"q":' + b"9" * 100_000 + b"}"):
        begun = time.monotonic()
        head = {"content-type": "application/json"}
        answer = served.client.post("translate", content=body, headers=head)
        assert answer.status_code == 400
        assert time.monotonic() - begun < 5
