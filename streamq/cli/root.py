"""The root command. A command's module is imported when it is called for, so that none pays for the others."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import version

import click

from streamq.cli.command import Noun

__all__ = ["root"]

# name → module and attribute below streamq.cli, and what the help says of it; in the order of the help
_COMMANDS = {
    "work": ("work:work", "Run the jobs of an App."),
    "enqueue": ("enqueue:enqueue", "Put one job in."),
    "top": ("top:top", "Watch queues, tasks and workers."),
    "job": ("job:job", "Look at jobs, cancel them, run them again."),
    "signal": ("signal:signal", "Send signals to jobs, and see who waits for any."),
    "queue": ("queue:queue", "Look at queues, hold them, empty them."),
    "limit": ("limit:limit", "Look at limits, and change them without a deployment."),
    "lane": ("lane:lane", "See which tenants or users wait, and for what."),
    "flow": ("flow:flow", "Look at workflows, cancel them, run failed ones again."),
    "strike": ("strike:strike", "Stop a task, or its jobs with certain arguments."),
    "schedule": ("schedule:schedule", "Run tasks at set times; look at the times, hold them."),
    "dead": ("dead:dead", "Look at the jobs that gave up, and run them again."),
    "doctor": ("doctor:doctor", "Examine the server and the queues."),
    "test": ("trial:test", "Send test jobs through a real worker."),
    "config": ("settings:config", "Show all settings, and where each came from."),
    "server": ("server:server", "Start, stop and look at the embedded server."),
    "function": ("function:function", "Load and show the function library."),
}


class _Root(Noun):
    """Knows its commands by name before it has them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(f"streamq.cli.{module}"), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        near = get_close_matches(args[0], _COMMANDS, 1)
        if near and args[0] not in _COMMANDS:
            raise click.UsageError(f"No such command {args[0]!r}. Did you mean {near[0]!r}?", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, said) for name, (_, said) in _COMMANDS.items()])


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
