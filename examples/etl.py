"""Extract, transform, load: a fan-out over parts, a fan-in of their results, and steps that are added while it runs.

``streamq work etl``, then ``python etl.py``, which prints::

    loaded 6 rows, the sum is 48
    3 of 3 parts: completed
    words: 3
"""

import asyncio

from streamq import App, Context, Flow, group

app = App()


@app.task
async def extract(part: int) -> list[int]:
    return [part * 2, part * 2 + 12]


@app.task(queue="numbers")  # another queue, perhaps on other machines
async def transform(rows: list[int], *, factor: int) -> list[int]:
    return [row * factor for row in rows]


@app.task
async def load(parts: list[list[int]]) -> str:
    rows = [row for part in parts for row in part]
    return f"loaded {len(rows)} rows, the sum is {sum(rows)}"


@app.task
async def plan(ctx: Context, parts: int) -> None:
    """How many parts there are is known only when this runs: it adds them to its own flow."""
    flow = Flow.within(ctx)
    for part in range(parts - 1):
        flow.add(extract.call(part))
    await flow.aenqueue()


@app.task
async def count(text: str) -> int:
    return len(text.split())


@app.task
async def total(counts: list[int], *, name: str) -> str:
    return f"{name}: {sum(counts)}"


async def main() -> None:
    flow = Flow("etl")
    parts = flow.map(extract.call, range(3))
    cleaned = [flow.add(transform.call(part.output, factor=1)) for part in parts]
    loaded = flow.add(load.call([rows.output for rows in cleaned]))
    run = await flow.aenqueue()
    print(await run.aresult(loaded, timeout=10))

    growing = Flow("growing")
    growing.add(plan.call(3))
    grown = await growing.aenqueue()
    state = await grown.await_end(timeout=10)  # the end of all, also of those that were added
    print(f"{(await grown.aprogress()).ended} of 3 parts: {state}")

    chord = group(*[count.call(text) for text in ("a b", "c")]).then(total, name="words")
    print(await (await chord.aenqueue()).aresult(timeout=10))
    await app.aclose()


if __name__ == "__main__":
    asyncio.run(main())
