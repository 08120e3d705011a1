"""Order fulfilment: steps that pass results on, a condition, and what undoes them when a later one fails.

``streamq work order``, then ``python order.py``, which prints::

    order 7: completed, 7: box of a, box of b
    order 8: failed
    ship_it is dead
    undone: put_back a, put_back b, refund 8
"""

import time
from dataclasses import dataclass

from streamq import App, Flow, FlowFailed, FlowState, Run

app = App()


@dataclass(frozen=True)
class Receipt:
    order: int
    amount: float


@app.task(queue="payments")
async def charge(order: int, amount: float) -> Receipt:
    return Receipt(order, amount)


@app.task(queue="payments", result_ttl="1m")
async def refund(receipt: Receipt) -> str:
    return f"refund {receipt.order}"


@app.task
def pack(item: str) -> str:
    return f"box of {item}"


@app.task(result_ttl="1m")
def put_back(item: str) -> str:
    return f"put_back {item}"


@app.task(attempts=1)
async def ship_it(boxes: list[str], receipt: Receipt) -> str:
    if receipt.order == 8:
        raise RuntimeError("the truck has broken down")
    return f"{receipt.order}: {', '.join(boxes)}"


@app.task
async def thank(order: int) -> None: ...


def fulfil(order: int, items: list[str]) -> Run[None]:
    flow = Flow("order")
    paid = flow.add(charge.call(order, 9.5), name="paid")
    paid.undone_by(refund.call(paid.output), name="refund")  # after what undoes the steps behind it
    boxes = [flow.add(pack.call(item), after=[paid], undo=put_back.call(item)) for item in items]
    sent = flow.add(ship_it.call([box.output for box in boxes], paid.output), name="sent")
    flow.add(thank.call(order), after=[sent], when="paid.amount > 5.0")
    return flow.enqueue()  # all of them or none


def main() -> None:
    good, bad = fulfil(7, ["a", "b"]), fulfil(8, ["a", "b"])
    print(f"order 7: {good.wait(timeout=10)}, {good.job('sent').result(timeout=10)}")
    print(f"order 8: {bad.wait(timeout=10)}")
    try:
        bad.result()
    except FlowFailed:
        failed = [step for step in bad.steps() if step.status == "dead"]
        print(*(f"{step.task} is {step.status}" for step in failed))
    while bad.status() is FlowState.UNDOING:
        time.sleep(0.05)
    undone = [bad.job(step.name).result(timeout=10) for step in bad.steps() if step.is_undo]
    print("undone:", ", ".join(sorted(map(str, undone))))
    app.close()


if __name__ == "__main__":
    main()
