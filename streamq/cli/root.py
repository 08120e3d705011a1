"""The root command. A command's module is imported when it is called for, so that none pays for the others."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version

import click

from streamq.cli.command import Noun

__all__ = ["root"]

# name → module and attribute below streamq.cli, in the order of the help
_COMMANDS = {
    "work": "work:work",
    "enqueue": "enqueue:enqueue",
    "top": "top:top",
    "job": "job:job",
    "queue": "queue:queue",
    "dead": "dead:dead",
    "doctor": "doctor:doctor",
    "test": "trial:test",
    "config": "settings:config",
    "server": "server:server",
    "function": "function:function",
}


class _Root(Noun):
    """Knows its commands by name before it has them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(f"streamq.cli.{module}"), attribute)
        return command


def _print_version(context: click.Context, option: click.Parameter, value: bool) -> None:
    if value:
        click.echo(f"streamq {version('streamq')}")
        context.exit()


@click.group(cls=_Root, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version.",
)
def root() -> None:
    """A job queue on Redis Streams that does not lose jobs.

    Without --url (or STREAMQ_URL), the embedded server of this project is used.
    """
