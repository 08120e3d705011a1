"""Fair tenants: whoever puts in a thousand jobs delays nobody else, and who pays more gets a larger share.

``streamq work fair_tenants``, then ``python fair_tenants.py``, which prints::

    small: 3 jobs, all among the first 10 of 1003
    gold ran three times as often as basic while both had jobs
"""

from __future__ import annotations

import time

from streamq import App

app = App()
app.lane("tenant", weight={"gold": 3})  # the others weigh 1
app.limit(queue="imports", slots=1)  # for this example: one after the other, so that the order is to be seen


@app.task(queue="imports", lane="tenant", result_ttl="1m")  # the argument that says whose job it is
async def load(tenant: str, row: int) -> int:
    return time.monotonic_ns()


def ranks(batch: dict[str, int]) -> list[str]:
    """Put so many jobs in for each tenant, in one call; the tenants in the order in which their jobs ran."""
    calls = [load.call(tenant, row) for tenant, count in batch.items() for row in range(count)]
    ran = [job.result(timeout=60) for job in app.enqueue_many(calls)]
    tenants = [tenant for tenant, count in batch.items() for _ in range(count)]
    return [tenant for _, tenant in sorted(zip(ran, tenants, strict=True))]


if __name__ == "__main__":
    order = ranks({"big": 1000, "small": 3})
    last = len(order) - order[::-1].index("small")
    print(f"small: 3 jobs, all among the first {max(10, last)} of {len(order)}")

    order = ranks({"basic": 100, "gold": 90})
    both = order[: len(order) - order[::-1].index("gold")]  # until gold has none left
    share = both.count("gold") / both.count("basic")
    print(f"gold ran {'three' if 2.5 < share < 3.5 else share} times as often as basic while both had jobs")
