"""What every command has in common: the shared options, accepted before and behind the verb alike.

They are kept in the session, so that no command has to pass them on.
"""

from __future__ import annotations

from typing import Any

import click

from streamq.cli.session import Session

__all__ = ["Noun", "Verb"]


def _keep(context: click.Context, option: click.Parameter, value: Any) -> None:
    """The latest one given wins: that behind the verb."""
    if value is not None:
        setattr(context.find_object(Session), option.name or "", value)


def _shared_options() -> list[click.Parameter]:
    def option(*names: str, **more: Any) -> click.Option:
        return click.Option(names, callback=_keep, expose_value=False, default=None, **more)

    return [
        option("--url", metavar="URL", help="The server, as in redis://127.0.0.1:6379."),
        option("--namespace", metavar="NAME", help="First part of every key."),
        option("--app", "app_name", metavar="MODULE", help="The App, as in shop or shop:app."),
        option("--json", "as_json", is_flag=True, help="One JSON document on stdout, and nothing else."),
        option("--debug", is_flag=True, help="Show tracebacks."),
    ]


class Verb(click.Command):
    """A command with the shared options."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.params += _shared_options()


class Noun(click.Group):
    """A group of verbs, with the shared options."""

    command_class = Verb

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.params += _shared_options()
