"""``streamq function``: the Lua library, here and on the server."""

from __future__ import annotations

from typing import Any

import click

from streamq.cli.command import Noun
from streamq.cli.screen import Fields
from streamq.cli.session import Session
from streamq.library import Stamp, library

__all__ = ["function", "stamp_on_server"]


@click.group(cls=Noun)
def function() -> None:
    """Load and show the function library."""


@function.command()
@click.option("--replace", is_flag=True, help="Also replace other content of the same revision.")
@click.pass_obj
def load(session: Session, replace: bool) -> None:
    """Put the library on the server, unless it is there already; a newer one is never replaced."""
    session.engine.install(anyway=replace)
    stamp = stamp_on_server(session)
    here = library().name
    text = (
        f"{here} revision {stamp.revision} is on the server"
        if stamp
        else f"{here} is on the server as a script"
    )
    session.show({"library": here, "server": _described(stamp)}, text)


@function.command()
@click.option("--source", is_flag=True, help="Print the Lua source, as FUNCTION LOAD takes it.")
@click.pass_obj
def show(session: Session, source: bool) -> None:
    """Compare the library of this installation with that of the server."""
    mine = library()
    if source:
        session.show({"library": mine.name, "source": mine.source}, mine.source)
        return
    there = stamp_on_server(session)
    session.show(
        {"library": mine.name, "here": _described(mine.stamp), "server": _described(there)},
        Fields({"library": mine.name, "here": _shown(mine.stamp), "server": _shown(there)}),
    )


def stamp_on_server(session: Session) -> Stamp | None:
    """What the library on the server says of itself; None when it is not there."""
    found = session.engine.command("FUNCTION", "LIST", "LIBRARYNAME", library().name, "WITHCODE")
    return Stamp.of(found[0][b"library_code"]) if found else None


def _described(stamp: Stamp | None) -> dict[str, Any] | None:
    return stamp and {"revision": stamp.revision, "digest": stamp.digest, "checkout": stamp.checkout}


def _shown(stamp: Stamp | None) -> str:
    if stamp is None:
        return "not loaded; the first call loads it"
    return f"revision {stamp.revision}, {stamp.digest}{' (a checkout)' if stamp.checkout else ''}"
