"""``streamq work``: run the jobs of an App in worker processes until it is stopped."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from streamq.cli.command import Verb
from streamq.cli.session import Session
from streamq.errors import ConfigError

__all__ = ["work"]

_UNITS = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}


class _Bytes(click.ParamType[int]):
    """An amount of memory: ``300MB``, ``1GiB``."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", str(value).lower())
        if not found or found[2] not in _UNITS:
            self.fail(f"{value!r} is no amount of memory; write 300MB or 1GiB", param, ctx)
        return int(float(found[1]) * _UNITS[found[2]])


class _Share(click.ParamType[tuple[str, int]]):
    """A queue, and how many of its jobs a process runs at a time: ``mail=50``, or ``mail`` for ``--concurrency`` (0)."""

    name = "queue"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        queue, equals, slots = str(value).partition("=")
        if not queue or (equals and not (slots.isdigit() and int(slots))):
            self.fail(
                f"{value!r} is no queue; write mail, or mail=50 for at most 50 jobs at a time", param, ctx
            )
        from streamq.wire.limits import check_queue

        try:
            return check_queue(queue), int(slots or 0)
        except ConfigError as error:
            self.fail(str(error), param, ctx)


@click.command(cls=Verb)
@click.argument("app", required=False)
@click.option(
    "--workers", type=click.IntRange(1, 1_000), help="Worker processes.  [default: one for each processor]"
)
@click.option(
    "--concurrency", type=click.IntRange(1, 10_000), help="Jobs that each runs at a time.  [default: 100]"
)
@click.option(
    "--queue", "queues", type=_Share(), multiple=True, help="Only this queue; mail=50: at most 50 at a time."
)
@click.option("--burst", is_flag=True, help="End when nothing is left to do.")
@click.option("--max-jobs", type=click.IntRange(1), help="Replace a process after so many jobs.")
@click.option("--memory", type=_Bytes(), help="Replace a process that uses more, as in 300MB.")
@click.option(
    "--timeout",
    default="30s",
    show_default=True,
    metavar="TIME",
    help="How long running jobs may take when it is told to stop.",
)
@click.option("--health", "health_port", type=click.IntRange(0, 65_535), help="Port for /live and /ready.")
@click.option("--log", type=click.Choice(["text", "json"]), help="Form of the log.  [default: text]")
@click.option("--reload", "reloads", is_flag=True, help="Start anew when the code changes; for development.")
@click.pass_obj
def work(session: Session, /, app: str | None, reloads: bool, **options: Any) -> int:
    """Run the jobs of an App, as in "streamq work shop".

    TERM or Ctrl-C finishes what runs and ends; a second one ends at once, and what runs is handed back.
    """
    if session.as_json:
        raise click.UsageError("work prints no document; for a log that machines read say --log json.")
    session.app_name = app or session.app_name
    if reloads:
        from streamq.cli.reloading import run_reloading

        return run_reloading([word for word in sys.argv[1:] if word != "--reload"], Path.cwd())
    return _run(session, **options)


def _run(session: Session, /, queues: Sequence[tuple[str, int]], timeout: str, **options: Any) -> int:
    app = session.app
    from streamq.cli.reloading import name_code
    from streamq.durations import seconds
    from streamq.worker import run

    name_code()
    settings = {name: options.pop(name) for name in ("health_port", "log", "workers", "concurrency")}
    given = {name: value for name, value in settings.items() if value is not None}
    app.config = replace(app.config, **given)
    session.engine.install()  # a server that cannot be used is said once, here, instead of by every process
    session.engine.close()
    return run(app, queues=dict(queues) or None, timeout=seconds(timeout, "timeout"), **options)
