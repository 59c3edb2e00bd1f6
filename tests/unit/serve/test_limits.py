"""The gate: bytes, time, number of requests, and clients that leave."""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from serve_helpers import FakeTranslator, Running, running

from m4nmt_serve.settings import ServeConfig


def ask(up: Running, q: object, timeout: float = 20) -> httpx.Response:
    body = {"q": q, "source": "en", "target": "de"}
    return up.client.post("translate", json=body, timeout=timeout)


def send_raw(up: Running, head: str, body: bytes = b"", seconds: float = 10) -> bytes:
    """What the server answers to these very bytes, until it closes or `seconds` pass."""
    with socket.create_connection(("127.0.0.1", up.port)) as connection:
        connection.settimeout(seconds)
        connection.sendall(head.replace("\n", "\r\n").encode() + body)
        got = b""
        try:
            while chunk := connection.recv(65536):
                got += chunk
        except TimeoutError:
            got += b"[still open]"
        return got


def test_sixty_four_at_once_share_batches_and_keep_their_order() -> None:
    translator = FakeTranslator(0.02)
    with running(translator) as up, ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(lambda i: ask(up, [f"{i} a", f"{i} b"]).json(), range(64)))
    for i, answer in enumerate(answers):
        assert answer == {"translatedText": [f"eng>deu {i} a", f"eng>deu {i} b"]}
    assert len(translator.batches) < 32
    assert sum(map(len, translator.batches)) == 128


def test_a_body_that_is_too_large_is_refused_unread() -> None:
    with running(FakeTranslator(), ServeConfig(max_body=1000)) as up:
        assert ask(up, "x" * 2000).status_code == 413
        head = "POST /translate HTTP/1.1\nHost: x\nContent-Length: 99999999999\n\n"
        begun = time.monotonic()
        answer = send_raw(up, head)  # not one byte of the body is sent
        assert time.monotonic() - begun < 2
        assert answer.startswith(b"HTTP/1.1 413")
        assert b'"error"' in answer
        chunks = (b"x" * 100 for _ in range(1000))  # no length is told
        told = up.client.post("translate", content=chunks)
        assert told.status_code == 413


def test_texts_over_the_limits_are_refused_before_the_engine() -> None:
    translator = FakeTranslator()
    with running(translator, ServeConfig(max_chars=50, max_texts=3)) as up:
        assert ask(up, "x" * 50).status_code == 200
        refused = ask(up, "y" * 51)
        assert refused.status_code == 413
        assert "51 characters; the limit is 50" in refused.json()["error"]
        assert ask(up, list("abcd")).status_code == 413
        detect = up.client.post("detect", json={"q": "y" * 51})
        assert detect.status_code == 413
    assert translator.batches == [["x" * 50]]


def test_the_deadline_answers_504_and_drops_what_has_not_begun() -> None:
    translator = FakeTranslator(0.6)
    translator.heeds = False
    with running(translator, ServeConfig(deadline=0.2)) as up, ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask, up, "first")
        time.sleep(0.1)
        second = ask(up, "second")
        assert first.result().status_code == second.status_code == 504
        assert "0.2 s" in second.json()["error"]
        time.sleep(0.7)
        assert 'm4nmt_open_texts{model="fake"} 0' in up.service.meters.page()
    assert translator.batches == [["first"]]


def test_a_client_that_leaves_takes_its_work_with_it() -> None:
    translator = FakeTranslator(0.4)
    with running(translator) as up, ThreadPoolExecutor(1) as pool:
        busy = pool.submit(ask, up, "busy")
        time.sleep(0.1)
        with pytest.raises(httpx.ReadTimeout):
            ask(up, "abandoned", timeout=0.1)
        assert busy.result().status_code == 200
        assert ask(up, "next").status_code == 200
    assert translator.batches == [["busy"], ["next"]]


def test_a_client_that_leaves_stops_what_the_engine_does_for_it_alone() -> None:
    translator = FakeTranslator(5)
    with running(translator) as up:
        with pytest.raises(httpx.ReadTimeout):
            ask(up, "abandoned", timeout=0.2)
        translator.seconds = 0
        begun = time.monotonic()
        assert ask(up, "next").status_code == 200
        assert time.monotonic() - begun < 1
    assert translator.stopped == 1


def test_too_many_requests_are_turned_away_at_once_but_health_is_not() -> None:
    with running(FakeTranslator(0.5), ServeConfig(max_requests=2)) as up:
        with ThreadPoolExecutor(2) as pool:
            kept = [pool.submit(ask, up, text) for text in ("a", "b")]
            time.sleep(0.1)
            begun = time.monotonic()
            refused = ask(up, "c")
            assert time.monotonic() - begun < 0.3
            assert up.client.get("health").status_code == 200
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "1"
        assert [future.result().status_code for future in kept] == [200, 200]
        assert ask(up, "d").status_code == 200


def test_who_has_been_answered_finds_his_place_free() -> None:
    with running(FakeTranslator(0.02), ServeConfig(max_requests=16, cache_chars=0)) as up:

        def turns(i: int) -> list[int]:
            return [ask(up, f"{i} {turn}").status_code for turn in range(12)]

        with ThreadPoolExecutor(16) as pool:
            statuses = [status for row in pool.map(turns, range(16)) for status in row]
    assert statuses == [200] * 192


def test_large_and_patient_requests_leave_half_of_the_places_to_the_others() -> None:
    config = ServeConfig(max_requests=4, bulk_chars=200)
    with running(FakeTranslator(0.5), config) as up, ThreadPoolExecutor(8) as pool:

        def patient(i: int) -> int:
            body = {"q": f"{i}", "source": "en", "target": "de"}
            return up.client.post("translate", json=body, headers={"priority": "u=6"}).status_code

        def large(i: int) -> int:
            return ask(up, f"{i}" * 300).status_code

        crowd = [pool.submit(patient, 0), pool.submit(large, 1)]
        time.sleep(0.15)
        crowd += [pool.submit(patient, 2), pool.submit(large, 3)]
        time.sleep(0.1)
        assert ask(up, "small").status_code == 200
        assert [future.result() for future in crowd] == [200, 200, 429, 429]


def test_a_full_queue_is_429_with_retry_after() -> None:
    config = ServeConfig(queue_tokens=15, batch_tokens=15)
    with running(FakeTranslator(0.3), config) as up, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: ask(up, f"{i}" * 15), range(8)))
    statuses = sorted(answer.status_code for answer in answers)
    assert set(statuses) == {200, 429}
    assert all(a.headers["retry-after"] for a in answers if a.status_code == 429)


def test_a_dripping_body_is_cut_off() -> None:
    with running(FakeTranslator(), ServeConfig(body_seconds=0.3)) as up:
        head = "POST /translate HTTP/1.1\nHost: x\nContent-Length: 100\n\n"
        answer = send_raw(up, head, b'{"q": ', seconds=5)
        assert answer.startswith(b"HTTP/1.1 408")
        assert not answer.endswith(b"[still open]")


def test_a_dripping_head_is_cut_off() -> None:
    with running(FakeTranslator(0.6), ServeConfig(head_seconds=0.3)) as up:
        for head in ("", "GET /health HTTP/1.1\nHost: x\n"):
            assert send_raw(up, head, seconds=3) == b""
        with socket.create_connection(("127.0.0.1", up.port)) as connection:
            connection.settimeout(3)
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            got = b""
            while not got.endswith(b'{"status":"ok"}'):
                got += connection.recv(65536)
            connection.sendall(b"GET /health HT")  # a whole head, then a dripping one
            assert connection.recv(65536) == b""
        assert ask(up, "slower than the limit, but its head came").status_code == 200


def test_slow_connections_leave_the_service_answering() -> None:
    with running(FakeTranslator()) as up:
        slow = [socket.create_connection(("127.0.0.1", up.port)) for _ in range(200)]
        try:
            for connection in slow:
                connection.sendall(b"POST /translate HTTP/1.1\r\nHost: x\r\n")
            begun = time.monotonic()
            assert ask(up, "quick").status_code == 200
            assert time.monotonic() - begun < 2
        finally:
            for connection in slow:
                connection.close()


def test_ten_megabytes_cost_nothing() -> None:
    with running(FakeTranslator()) as up:
        begun = time.monotonic()
        assert ask(up, "x" * 10_000_000).status_code == 413
        assert time.monotonic() - begun < 2


def test_a_queue_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="queue_tokens must be positive"):
        ServeConfig(queue_tokens=0)


def test_another_origin_may_ask_unless_it_is_not_wanted() -> None:
    page = {"origin": "https://page.example"}
    with running(FakeTranslator()) as up:
        assert up.client.get("health", headers=page).headers["access-control-allow-origin"] == "*"
    with running(FakeTranslator(), ServeConfig(origins=())) as up:
        headers = up.client.get("health", headers=page).headers
        assert "access-control-allow-origin" not in headers


def test_nothing_is_left_running_after_many_abandoned_requests() -> None:
    with running(FakeTranslator(0.05)) as up:

        def leave(i: int) -> None:
            with pytest.raises(httpx.TimeoutException):
                ask(up, f"text {i}", timeout=0.02)

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(leave, range(32)))
        deadline = time.monotonic() + 5
        live = up.service.models.known().lives[0]
        while live.batcher.busy and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not live.batcher.busy
        assert threading.active_count() < 20
