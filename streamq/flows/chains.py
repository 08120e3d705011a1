"""Chains and groups: the short forms of flows. What one call returns is the first argument of the next, and is checked.

fetch.call(url).then(parse, strict=True).then(store, bucket="b").enqueue()
group(*[resize.call(path) for path in paths]).then(zip_all, name="z").enqueue()
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Concatenate, Generic, ParamSpec, TypeVar

from streamq.errors import WrongCall
from streamq.flows.flow import Flow, Step
from streamq.flows.run import Run
from streamq.task import Call, Task

__all__ = ["Chain", "Group", "chain_of", "group"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)


class Chain(Generic[R_co]):
    """Calls in a row; it does not change: ``then`` and ``followed_by`` give longer ones."""

    __slots__ = ("_add", "_name")

    def __init__(self, add: Callable[[Flow], Step[R_co]], name: str) -> None:
        self._add, self._name = add, name

    def then(self: Chain[T], task: Task[Concatenate[T, P], R], *args: P.args, **kwargs: P.kwargs) -> Chain[R]:
        """Next, with the result as the first argument. Raises WrongCall when the arguments do not fit."""
        checked = task.call(None, *args, **kwargs)  # type: ignore[arg-type]  # the result stands there later
        before = self._add

        def add(flow: Flow) -> Step[R]:
            return flow.add(Call(checked.task, (before(flow).output, *checked.args[1:]), checked.kwargs))

        return Chain(add, self._name)

    def followed_by(self, call: Call[R]) -> Chain[R]:
        """Next, without the result."""
        before = self._add
        return Chain(lambda flow: flow.add(call, after=[before(flow)]), self._name)

    def enqueue(self) -> Run[R_co]:
        """Put all in; ``result()`` of what it returns is that of the last call."""
        flow, last = self._flow()
        return self._run(flow.enqueue(), last)

    async def aenqueue(self) -> Run[R_co]:
        """Put all in; ``result()`` of what it returns is that of the last call."""
        flow, last = self._flow()
        return self._run(await flow.aenqueue(), last)

    def _flow(self) -> tuple[Flow, Step[R_co]]:
        flow = Flow(self._name)
        return flow, self._add(flow)

    def _run(self, run: Run[None], last: Step[R_co]) -> Run[R_co]:
        return run.ending_with(last)


class Group(Generic[R_co]):
    """Calls side by side."""

    __slots__ = ("_calls",)

    def __init__(self, calls: tuple[Call[R_co], ...]) -> None:
        self._calls = calls

    def then(
        self: Group[T], task: Task[Concatenate[list[T], P], R], *args: P.args, **kwargs: P.kwargs
    ) -> Chain[R]:
        """When all have completed, with the list of their results as the first argument."""
        checked = task.call([], *args, **kwargs)
        calls = self._calls

        def add(flow: Flow) -> Step[R]:
            outputs = [flow.add(call).output for call in calls]
            return flow.add(Call(checked.task, (outputs, *checked.args[1:]), checked.kwargs))

        return Chain(add, "group")

    def followed_by(self, call: Call[R]) -> Chain[R]:
        """When all have completed, without their results."""
        calls = self._calls
        return Chain(lambda flow: flow.add(call, after=[flow.add(one) for one in calls]), "group")

    def enqueue(self) -> Run[list[R_co]]:
        """Put all in; ``result()`` of what it returns is the list of their results."""
        flow = Flow("group")
        steps = [flow.add(call) for call in self._calls]
        return flow.enqueue().ending_with(steps)

    async def aenqueue(self) -> Run[list[R_co]]:
        """Put all in; ``result()`` of what it returns is the list of their results."""
        flow = Flow("group")
        steps = [flow.add(call) for call in self._calls]
        return (await flow.aenqueue()).ending_with(steps)


def group(*calls: Call[R]) -> Group[R]:
    """Calls that run side by side. Raises WrongCall when there are none."""
    if not calls:
        raise WrongCall(
            "group() has no calls: give some, as in group(*[resize.call(path) for path in paths])"
        )
    return Group(calls)


def chain_of(call: Call[R]) -> Chain[R]:
    """A chain of one call."""
    return Chain(lambda flow: flow.add(call), "chain")
