"""Resources: pools, clients and models that each worker process opens once and gives to its handlers.

``streamq work injection``, then ``python injection.py``, which prints::

    Ada wrote the first program
    remember() got an unexpected keyword argument 'db'. 'db' is filled in by the worker. It takes (name). Nothing was sent.
"""

import sqlite3
from collections.abc import AsyncIterator, Iterator

from streamq import App, WrongCall, resource

app = App()


@app.resource
def database() -> Iterator[sqlite3.Connection]:
    """What stands before the ``yield`` runs when the process starts, what stands behind it when it ends."""
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    connection.execute("create table facts (name text primary key, fact text)")
    connection.execute("insert into facts values ('Ada', 'wrote the first program')")
    yield connection
    connection.close()


@app.lifespan
async def announce() -> AsyncIterator[None]:
    """A resource that nobody asks for: start-up and shutdown of the process."""
    print("a worker process starts")
    yield
    print("a worker process ends")


@app.task
def remember(name: str, db: sqlite3.Connection = resource(database)) -> str:
    """``db`` comes from the worker; it is no argument of the job."""
    (fact,) = db.execute("select fact from facts where name = ?", (name,)).fetchone()
    return f"{name} {fact}"


if __name__ == "__main__":
    print(remember.enqueue("Ada").result(timeout=10))
    try:
        remember.enqueue("Ada", db=sqlite3.connect(":memory:"))
    except WrongCall as error:
        print(error)
