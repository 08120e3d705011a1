"""An order that waits for a person: steps that are not run twice, and a signal with a time limit.

While an order waits it holds no slot of a worker; when the answer or the limit has come, its handler runs again from the
start, and the steps before the wait give their noted results.

``streamq work approval``, then ``python approval.py``, which prints::

    order 7 is waiting
    order 7: charged 70, shipped
    order 8: charged 80, refunded, because nobody answered
    the first order charged 1 time
"""

from pathlib import Path
from tempfile import gettempdir
from uuid import uuid4

from streamq import App, Context

app = App()


def charge(order: int, book: str) -> int:
    """What must not happen twice. It keeps a book here, as a bank would."""
    with Path(book).open("a") as file:
        file.write("charged\n")
    return order * 10


@app.task
async def place(ctx: Context, order: int, book: str, limit: str) -> str:
    paid = await ctx.step("charge", charge, order, book)
    approved = await ctx.signal("approved", bool, timeout=limit, default=None)
    if approved:
        done = await ctx.step("ship", str, "shipped")
    else:
        reason = "because nobody answered" if approved is None else "because it was not approved"
        done = await ctx.step("refund", str, f"refunded, {reason}")
    return f"order {order}: charged {paid}, {done}"


if __name__ == "__main__":
    import time

    book = Path(gettempdir()) / f"streamq-{uuid4().hex}"
    first = place.enqueue(7, str(book), "1h")
    while first.status() != "waiting":
        time.sleep(0.02)
    print("order 7 is", first.status())
    first.signal("approved", True)  # or: streamq signal send ID approved true
    print(first.result(timeout=20))

    print(place.enqueue(8, f"{book}-8", "100ms").result(timeout=20))
    print("the first order charged", len(book.read_text().splitlines()), "time")
    book.unlink()
    Path(f"{book}-8").unlink()
