"""``streamq server``: the embedded server of the project, by hand. It also starts by itself when it is needed."""

from __future__ import annotations

from dataclasses import asdict

import click

from streamq.cli.command import Noun
from streamq.cli.screen import Fields
from streamq.cli.session import Session
from streamq.config import Config, redacted
from streamq.engines import embedded
from streamq.errors import ConfigError

__all__ = ["server"]


@click.group(cls=Noun)
def server() -> None:
    """Start, stop and look at the embedded server of this project."""


@server.command()
@click.pass_obj
def start(session: Session) -> None:
    """Start it, unless it runs."""
    _show(session, embedded.start(_config(session)))


@server.command()
@click.pass_obj
def stop(session: Session) -> None:
    """Stop it; everything is written to its file before."""
    stopped = embedded.stop(_config(session))
    session.show({"stopped": stopped}, "stopped" if stopped else "it did not run")


@server.command()
@click.pass_obj
def status(session: Session) -> int:
    """Say whether it runs; the exit code is 1 when it does not."""
    found = embedded.status(_config(session))
    _show(session, found)
    return 0 if found.answers else 1


def _config(session: Session) -> Config:
    url = session.config.url
    if url and not url.startswith("embedded://"):
        raise ConfigError(
            f"url is {redacted(url)} ({session.config.source('url')}): the embedded server is for projects without one"
        )
    return session.config


def _show(session: Session, status: embedded.Status) -> None:
    state = "runs" if status.answers else "does not answer" if status.running else "does not run"
    pid = str(status.pid) if status.pid else ""
    fields = {
        "server": state,
        "process": pid,
        "url": status.url,
        "data": str(status.folder),
        "log": str(status.log),
    }
    session.show(asdict(status), Fields(fields))
