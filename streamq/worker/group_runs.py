"""The runs of batches: a slot, a Task and one call of the handler for each group."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Callable

from streamq.worker.group import GroupRunner
from streamq.worker.groups import Group, Groups
from streamq.worker.outside import Outside
from streamq.worker.page import Section
from streamq.worker.seat import FOREVER, Runner
from streamq.worker.soft import Softly

__all__ = ["GroupRuns"]

clock = time.monotonic


class GroupRuns:
    """Those of one bench, among its ``runners``. ``failed`` is told of a handler that raised, ``changed`` of each end."""

    def __init__(
        self,
        runners: set[Runner],
        section: Section,
        outside: Outside,
        changed: Callable[[], None],
        failed: Callable[[Runner, BaseException], None],
    ) -> None:
        self._runners, self._section, self._outside = runners, section, outside
        self._changed, self._failed = changed, failed
        self._loop = asyncio.get_running_loop()
        self._base = contextvars.copy_context()

    def start(self, groups: Groups, room: int) -> None:
        """Start groups that are ready; one may always run, so that other jobs in all slots do not starve them."""
        room = max(room, 1 - groups.running)
        groups.hurry(room)
        for _ in range(min(room, groups.ready)):
            self._start(groups, groups.next())

    def _start(self, groups: Groups, group: Group) -> None:
        runner = GroupRunner(self._section.cell(), self._outside)
        runner.begin_all(group.plan, group.members, clock())
        self._runners.add(runner)
        running = self._run(groups, runner)
        runner.task = asyncio.Task(running, loop=self._loop, context=self._base.copy())

    async def _run(self, groups: Groups, runner: GroupRunner) -> None:
        plan, items = runner.known_plan, [member.item for member in runner.members]
        try:
            run = plan.call(runner, [items], {})
            results = runner.for_each(await (run if runner.soft == FOREVER else Softly(runner, run)))
        except GeneratorExit:  # the loop is being closed
            raise
        except BaseException as error:
            self._failed(runner, error)
        else:
            for lot, ending in runner.endings(clock(), results):
                self._outside.ended(lot, ending)
        finally:
            self._runners.discard(runner)
            runner.cell.close()
            groups.ended(runner.members)
            self._changed()
        if plan.options.settle_each:
            self._outside.settle_soon()
