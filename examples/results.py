"""Results, progress, partial results and cancelling, from an event loop: what waits has an a-form.

``streamq work results``, then ``python results.py``, which prints::

    Page(number=3, words=30)
    endless says: started
    endless is cancelled
"""

import asyncio
from dataclasses import dataclass

from streamq import App, Cancelled, Context

app = App()


@dataclass(frozen=True)
class Page:
    """Arguments and results may be dataclasses, datetimes, UUIDs, Decimals, sets, enums: as the annotations say."""

    number: int
    words: int


@app.task(result_ttl="1m")
async def read_book(ctx: Context, pages: int) -> Page:
    page = Page(0, 0)
    for number in range(1, pages + 1):
        page = Page(number, page.words + 10)
        ctx.progress(number / pages, f"{number} of {pages}")
        await asyncio.sleep(0.1)
    return page


@app.task
async def endless(ctx: Context) -> None:
    """An async handler gets a CancelledError; a sync one should look at ``ctx.cancelled`` between its steps."""
    ctx.progress(0, "started")
    await asyncio.sleep(3600)


async def main() -> None:
    job = await read_book.aenqueue(3)
    print(await job.aresult(timeout=10))

    stuck = await endless.aenqueue()
    while not (progress := await stuck.aprogress()).note:  # what a running job said last
        await asyncio.sleep(0.05)
    print("endless says:", progress.note)
    await stuck.acancel()  # a running job is told within 100 ms
    try:
        await stuck.aresult(timeout=10)
    except Cancelled:
        print("endless is cancelled")
    await app.aclose()


if __name__ == "__main__":
    asyncio.run(main())
