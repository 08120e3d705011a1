"""Mixed producers against a running fleet, for Locust: single jobs, batches, delayed jobs, and jobs whose result is awaited.

    STREAMQ_URL=redis://… streamq work bench.jobs:app
    STREAMQ_URL=redis://… locust -f bench/locustfile.py                              the web page, http://127.0.0.1:8089
    STREAMQ_URL=redis://… locust -f bench/locustfile.py --headless -u 50 -t 5m

A request is one call of a producer; its length in Locust's statistics is the number of jobs that the server accepted, so
that the sum of lengths can be held against what was run. ``python -m bench.soak`` does so.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from locust import User, between, events, task

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.jobs import app, noop, noop_sync, pause

BATCH = 100
PAYLOAD = "x" * 80
kept = noop.using(result_ttl="10s")  # without it, only who already waits when a job ends gets its result


class Producer(User):
    """Somebody who puts jobs in, and now and then waits for one."""

    wait_time = between(0.005, 0.05)

    @task(60)
    def single(self) -> None:
        """One job for the loop, one for a thread."""
        self._measure("enqueue", 1, lambda: noop.enqueue(PAYLOAD))
        self._measure("enqueue sync", 1, lambda: noop_sync.enqueue(PAYLOAD))

    @task(10)
    def batch(self) -> None:
        """A hundred in one call."""
        self._measure("enqueue_many 100", BATCH, lambda: app.enqueue_many([noop.call(PAYLOAD)] * BATCH))

    @task(10)
    def delayed(self) -> None:
        """One that is due in two seconds."""
        self._measure("enqueue delayed", 1, lambda: noop.using(delay=2).enqueue(PAYLOAD))

    @task(10)
    def slow(self) -> None:
        """One that waits on the loop for 10 ms."""
        self._measure("enqueue slow", 1, lambda: pause.enqueue(0.01))

    @task(10)
    def result(self) -> None:
        """One whose end is awaited."""
        self._measure("enqueue and result", 1, lambda: kept.enqueue(PAYLOAD).result(timeout=30))

    def _measure(self, name: str, jobs: int, call: Callable[[], Any]) -> None:
        """Report one call to Locust: its time, the number of jobs, and what it raised."""
        began, error = time.perf_counter(), None
        try:
            call()
        except Exception as raised:
            error = raised
        events.request.fire(
            request_type="streamq",
            name=name,
            response_time=(time.perf_counter() - began) * 1e3,
            response_length=0 if error else jobs,
            exception=error,
            context={},
        )
