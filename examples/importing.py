"""An import that goes on where it was: a cursor over rows, and a pause in the middle of it.

``streamq work importing``, then ``python importing.py``, which prints::

    imported 1000 rows in 3 runs
    rows that came more than once: 0
"""

from collections.abc import Iterator
from pathlib import Path
from tempfile import gettempdir
from uuid import uuid4

from streamq import App, Context

app = App()

ROWS = 1000


def rows_after(last: int | None) -> Iterator[int]:
    """What a database would answer to ``SELECT … WHERE id > last ORDER BY id``."""
    yield from range(0 if last is None else last + 1, ROWS)


@app.task(attempts=3, backoff=0.05)
def load(ctx: Context, target: str) -> None:
    with Path(target).open("a") as file:
        file.write("run\n")
        for row in ctx.sync.cursor("rows", rows_after, key=lambda row: row, every=100):
            if row == 300 and ctx.attempt == 1:
                raise ConnectionError("the database went away")  # the next attempt goes on at row 300
            if row == 700:
                ctx.sync.sleep("50ms")  # no slot is held meanwhile
            file.write(f"{row}\n")


if __name__ == "__main__":
    import time

    target = Path(gettempdir()) / f"streamq-{uuid4().hex}"
    job = load.enqueue(str(target))
    while job.status() != "completed":
        time.sleep(0.02)
    lines = target.read_text().splitlines()
    rows = [line for line in lines if line != "run"]
    print("imported", len(set(rows)), "rows in", lines.count("run"), "runs")
    print("rows that came more than once:", len(rows) - len(set(rows)))
    target.unlink()
