"""Batches: many callers put in one row each, and a handler writes them together. One bad row costs the others nothing.

``streamq work batches``, then ``python batches.py``, which prints::

    acme: row 0 is in, in one statement of 6
    zeta: row 1 is in, in one statement of 4
    refused: a row needs a name
    in all: 9
"""

from dataclasses import dataclass

from streamq import App, BatchContext, Dead, JobFailed, Outcome

app = App()


@dataclass
class Row:
    tenant: str
    number: int
    name: str = "a name"


@app.batch(size=100, wait="500ms", by="tenant")
async def write(ctx: BatchContext, rows: list[Row]) -> list[str | Outcome]:
    """One statement for all rows of a tenant that came within half a second.

    The list that is returned is as long as the one that came; an element is the result of its row, or an exception with
    which that row ends. ``ctx.jobs`` has the Context of each.
    """
    done = f"is in, in one statement of {len(rows)}"
    return [f"row {row.number} {done}" if row.name else Dead("a row needs a name") for row in rows]


if __name__ == "__main__":
    calls = [write.call(Row("zeta" if i % 2 else "acme", i)) for i in range(9)]
    jobs = app.enqueue_many([*calls, write.call(Row("acme", 9, name=""))])

    results = [job.result(timeout=20) for job in jobs[:9]]  # each caller awaits its own row
    print("acme:", results[0])
    print("zeta:", results[1])
    try:
        jobs[9].result(timeout=20)
    except JobFailed as failure:
        print("refused:", failure.text)
    print("in all:", len(results))
