"""A strict order per account: bookings of one account run one after the other, also when one of them fails.

``streamq work strict_order``, then ``python strict_order.py``, which prints::

    anna: 1 2 3 4 5 6
    bert: 1 2 3 4 5 6
    booking 3 of each ran twice, and the others waited for it
"""

from __future__ import annotations

import time

from streamq import App, Context

app = App()
app.lane(
    "account", slots=1, ordered=True
)  # one at a time; who is retried keeps its place, and its account waits


@app.task(lane="account", attempts=5, backoff=0.2, result_ttl="1m")
async def book(ctx: Context, account: str, number: int) -> tuple[int, int]:
    if number == 3 and ctx.attempt == 1:
        raise ConnectionError("the ledger is away for a moment")
    return time.monotonic_ns(), ctx.attempt


if __name__ == "__main__":
    attempts: dict[int, set[int]] = {}
    for account in ("anna", "bert"):
        jobs = app.enqueue_many([book.call(account, number) for number in range(1, 7)])
        ran = [job.result(timeout=30) for job in jobs]
        order = sorted(range(6), key=lambda place: ran[place][0])
        print(f"{account}:", *(place + 1 for place in order))
        for place, (_, attempt) in enumerate(ran):
            attempts.setdefault(attempt, set()).add(place + 1)
    if attempts == {1: {1, 2, 4, 5, 6}, 2: {3}}:
        print("booking 3 of each ran twice, and the others waited for it")
