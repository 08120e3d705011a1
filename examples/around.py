"""Around every job: a hook before it is sent, middleware while it runs, observers of what happens.

``streamq work around``, then ``python around.py``, which prints::

    hello from tenant acme, 1 layer deep
    not sent: the tenant is missing
"""

import sys
from contextvars import ContextVar

from streamq import App, CallNext, Context, Event, Outgoing

app = App()
tenant: ContextVar[str] = ContextVar("tenant", default="")
depth: ContextVar[int] = ContextVar("depth", default=0)


@app.before_enqueue
def send_tenant(outgoing: Outgoing) -> None:
    """Sees every job of this process before it is sent; headers travel with it. What it raises stops the job."""
    if not tenant.get():
        raise LookupError("the tenant is missing")
    outgoing.headers["tenant"] = tenant.get()


@app.middleware
async def restore_tenant(ctx: Context, call_next: CallNext) -> object:
    """Runs around every handler; the first declared is the outermost."""
    tenant.set(ctx.headers["tenant"])
    depth.set(depth.get() + 1)
    return await call_next()


@app.on("job.dead", "worker.lost")
def page_somebody(event: Event) -> None:
    """Told afterwards, and never in the way: what an observer raises is logged."""
    print(f"{event.name}: {event.job}", file=sys.stderr)


@app.task
async def greet() -> str:
    return f"hello from tenant {tenant.get()}, {depth.get()} layer deep"


if __name__ == "__main__":
    tenant.set("acme")
    print(greet.enqueue().result(timeout=10))
    tenant.set("")
    try:
        greet.enqueue()
    except LookupError as error:
        print("not sent:", error)
