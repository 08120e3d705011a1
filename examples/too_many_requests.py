"""An API with a limit of its own: it answers 429, and the queue waits instead of failing, without holding a worker.

``streamq work too_many_requests``, then ``python too_many_requests.py``, which prints::

    30 answers, none of them needed a second attempt
    the API had to refuse a few times, not 30
    more than it gives in 2 seconds took more than 2 seconds
"""

from __future__ import annotations

import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from urllib.error import HTTPError
from urllib.request import urlopen

from streamq import App, Context, Limit, RateLimited

app = App()


# We believe that the API takes 50 requests a second, and two at a time. It takes 10: what it says counts.
@app.task(limits=Limit("answers-api", "50/s burst 5", slots=2), result_ttl="1m")
def ask(ctx: Context, url: str, question: int) -> tuple[str, int]:
    """Sync, so it runs in a thread: ``urlopen`` waits."""
    try:
        with urlopen(f"{url}/{question}") as response:
            return response.read().decode(), ctx.attempt
    except HTTPError as error:
        if error.code == 429:  # the limit is shut for all workers; this job keeps its place and its attempt
            raise RateLimited(float(error.headers["Retry-After"])) from error
        raise


class Api(BaseHTTPRequestHandler):
    """Answers 10 requests a second, and refuses the others."""

    lock, second, count, refused = Lock(), 0.0, 0, 0

    def do_GET(self) -> None:
        with Api.lock:
            if time.monotonic() - Api.second >= 1:
                Api.second, Api.count = time.monotonic(), 0
            Api.count += 1
            allowed = Api.count <= 10
            Api.refused += not allowed
        body = f"answer to {self.path[1:]}".encode() if allowed else b"too many requests"
        self.send_response(200 if allowed else 429)
        self.send_header("Retry-After", "1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Says nothing."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    Thread(target=server.serve_forever, daemon=True).start()

    began = time.monotonic()
    jobs = app.enqueue_many([ask.call(f"http://127.0.0.1:{server.server_port}", n) for n in range(30)])
    answers = [job.result(timeout=30) for job in jobs]
    assert [answer for answer, _ in answers] == [f"answer to {n}" for n in range(30)]
    again = sum(attempt > 1 for _, attempt in answers)
    print(f"{len(answers)} answers, {again or 'none'} of them needed a second attempt")
    print("the API had to refuse", "a few times, not 30" if 0 < Api.refused < 10 else f"{Api.refused} times")
    if time.monotonic() - began > 2:
        print("more than it gives in 2 seconds took more than 2 seconds")
    server.shutdown()
