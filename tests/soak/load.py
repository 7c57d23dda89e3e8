"""Requests in numbers, from a process of their own: as another container would make them."""

import http.client
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import cycle, islice
from multiprocessing import get_context


@dataclass
class Answers:
    """How often each call was answered how, calls that were sent away without a moment to come again, and seconds."""

    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    without_retry_after: int = 0
    latencies: list[float] = field(default_factory=list)

    def __add__(self, other: "Answers") -> "Answers":
        return Answers(
            self.statuses + other.statuses,
            self.without_retry_after + other.without_retry_after,
            self.latencies + other.latencies,
        )


def poured(port: int, calls: Sequence[str], *, requests: int, seconds: float, connections: int) -> Answers:
    """The answers to so many requests, the calls in turns, evenly over so many seconds and several connections."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as another:
        return another.submit(_pour, port, calls, requests, seconds, connections).result()


def _pour(port: int, calls: Sequence[str], requests: int, seconds: float, connections: int) -> Answers:
    each = requests // connections
    with ThreadPoolExecutor(connections) as threads:
        parts = threads.map(lambda n: _one(port, [*calls[n:], *calls[:n]], each, seconds / each), range(connections))
        return sum(parts, Answers())


def _one(port: int, calls: Sequence[str], requests: int, apart: float) -> Answers:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    answers, begin = Answers(), time.monotonic()
    for number, call in enumerate(islice(cycle(calls), requests)):
        time.sleep(max(0.0, begin + number * apart - time.monotonic()))
        asked = time.perf_counter()
        connection.request(*call.split(" "))
        answer = connection.getresponse()
        answer.read()
        answers.latencies.append(time.perf_counter() - asked)
        answers.statuses[call, answer.status] += 1
        answers.without_retry_after += answer.status == 429 and int(answer.headers.get("retry-after", "0")) < 1
    connection.close()
    return answers
