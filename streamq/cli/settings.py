"""``streamq config``: every setting with its value and the place that it came from."""

from __future__ import annotations

import click

from streamq.cli.command import Verb
from streamq.cli.screen import Table
from streamq.cli.session import Session

__all__ = ["config"]


@click.command(cls=Verb)
@click.pass_obj
def config(session: Session) -> None:
    """Show all settings, where each came from, and what it is for; secrets are hidden."""
    settings = session.config.describe()
    session.show(
        {
            setting.name: {"value": setting.value, "source": setting.source, "help": setting.help}
            for setting in settings
        },
        Table(("setting", "value", "source", "what it is"), settings),
    )
