"""Workflows as they are written: a Flow is filled with steps, which are calls of tasks and what they wait for.

Nothing is sent before ``enqueue``. A step can only wait for steps that are there already, so there are no cycles.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast

from streamq.durations import Duration, seconds
from streamq.errors import ConfigError, StreamqError, WrongCall
from streamq.flows.conditions import Condition, sample_of
from streamq.flows.given import Source
from streamq.flows.output import Output, Use, taken_out
from streamq.flows.plan import Plan
from streamq.flows.run import Run
from streamq.flows.transport import Transport
from streamq.job import Job
from streamq.protocol.flows import cancel_flow
from streamq.protocol.keys import JobId
from streamq.task import Call

if TYPE_CHECKING:
    from streamq.app import App
    from streamq.context import Context

__all__ = ["Flow", "On", "Step"]

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
On = Literal["success", "failure", "any"]
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_ONS = ("success", "failure", "any")


@dataclass(eq=False)
class Step(Generic[R_co]):
    """A call in a flow, and what it waits for. ``edges``: other steps, or full ids of jobs, and which end is due.

    ``names``: what those of the condition stand for, arguments or steps.
    """

    flow: Flow
    name: str
    call: Call[R_co]
    edges: dict[Step[Any] | str, On]
    uses: list[Use]
    when: Condition | None = None
    names: Mapping[str, Source | Step[Any]] = field(default_factory=dict)
    env: tuple[str, ...] = ()
    undo: Step[Any] | None = field(default=None, repr=False)
    undoes: Step[Any] | None = field(default=None, repr=False)

    @property
    def output(self) -> R_co:
        """What it will return, for the arguments of later steps: ``paid.output``, ``paid.output.amount``."""
        return cast("R_co", Output(self))

    @property
    def sources(self) -> list[Step[Any]]:
        """The steps whose results it is given, each once."""
        named = [what for what in self.names.values() if isinstance(what, Step)]
        return list(dict.fromkeys([*(use.step for use in self.uses), *named]))

    def undone_by(self, call: Call[Any], *, name: str = "") -> Step[R_co]:
        """Run this when the flow fails or is cancelled and the step had completed, after what undoes later steps.

        Its arguments may use outputs, also the step's own. Raises WrongCall.
        """
        self.flow.undo(self, call, name)
        return self


class Flow:
    """Jobs that depend on each other, put in together: all of them, or none.

    ``name`` is for people, ``keep`` says how long the flow is kept after its end (its jobs' results as their tasks say).
    Its home, where it is kept track of, is the queue of its first step.
    """

    def __init__(self, name: str = "flow", *, keep: Duration = "1d") -> None:
        if not _NAME.fullmatch(name):
            raise ConfigError(f"Flow({name!r}): a name of up to 64 letters, digits and _ . - is due")
        self.name, self.keep_ms = name, max(1000, round(seconds(keep, "keep") * 1000))
        self.steps: list[Step[Any]] = []
        self._names: dict[str, Step[Any]] = {}
        self._counts: dict[str, int] = {}
        self._grows: str | None = None

    @classmethod
    def within(cls, ctx: Context) -> Flow:
        """More steps for the flow that a running handler's job belongs to. Raises WrongCall when it belongs to none."""
        if not ctx.flow:
            raise WrongCall(f"job {ctx.id} belongs to no flow: enqueue a Flow of its own")
        made = cls("more")
        made._grows = ctx.flow
        return made

    def add(
        self,
        call: Call[R],
        *,
        name: str = "",
        after: Iterable[Step[Any] | Job[Any] | Run[Any] | str]
        | Mapping[Step[Any] | Job[Any] | Run[Any] | str, On] = (),
        on: On = "success",
        when: str | None = None,
        env: Iterable[str] = (),
        undo: Call[Any] | None = None,
    ) -> Step[R]:
        """A step that runs when all that it waits for has ended as it should.

        It waits for the steps whose outputs it uses, and for ``after``: steps, jobs, other flows, or ids of these, each with
        the end that is due: ``on``, or a mapping's value. ``success``: it completed; otherwise this step does not run
        either. ``failure``: at least one of them failed. ``any``: it ended. ``when`` is a condition (docs: conditions)
        over arguments, names of steps, which stand for their results, and ``env.NAME`` of ``env``; when it is false, the
        step is skipped. ``undo`` runs when the flow fails after this step completed. Raises WrongCall and ConfigError.
        """
        step = self._made(call, name, _edges(after, on), when, tuple(env))
        self.steps.append(step)
        if undo is not None:
            self.undo(step, undo)
        return step

    def map(self, make: Any, items: Iterable[Any], **more: Any) -> list[Step[Any]]:
        """A step for each item, ``make(item)`` being its call: ``flow.map(resize.call, paths)``."""
        return [self.add(make(item), **more) for item in items]

    def undo(self, step: Step[Any], call: Call[Any], name: str = "") -> None:
        """What ``Step.undone_by`` does."""
        if step.flow is not self or step.undoes is not None or step.undo is not None:
            raise WrongCall(
                f"step '{step.name}' cannot be undone by {call!r}: it is not of this flow, or is undone already"
            )
        made = self._made(call, name or f"undo_{step.name}", {step: "success"}, None, ())
        step.undo, made.undoes = made, step

    def enqueue(self) -> Run[None]:
        """Put all jobs in; they run when the last one is there. Returns when the server has them.

        Raises what ``Task.enqueue`` does; then none of them runs.
        """
        sending = self._transport()
        try:
            sending.app.follow(sending.conversation())
        except BaseException:
            if sending.flow and not self._grows:
                with suppress(StreamqError):
                    sending.app.follow(cancel_flow(sending.app.config.namespace, *sending.place))
            raise
        return sending.run()

    async def aenqueue(self) -> Run[None]:
        """Put all jobs in; they run when the last one is there. Returns when the server has them.

        Raises what ``Task.enqueue`` does; then none of them runs.
        """
        sending = self._transport()
        try:
            await sending.app.afollow(sending.conversation())
        except BaseException:
            if sending.flow and not self._grows:
                with suppress(StreamqError):
                    await sending.app.afollow(cancel_flow(sending.app.config.namespace, *sending.place))
            raise
        return sending.run()

    @property
    def app(self) -> App:
        """The App of its tasks. Raises WrongCall when it has no steps."""
        if not self.steps:
            raise WrongCall(f"flow '{self.name}' has no steps: add some before it is enqueued")
        return self.steps[0].call.task.app

    def _transport(self) -> Transport:
        return Transport(self.app, self.name, self.keep_ms, Plan.of(self), self._grows)

    def _made(
        self,
        call: Call[R],
        name: str,
        edges: dict[Step[Any] | str, On],
        when: str | None,
        env: tuple[str, ...],
    ) -> Step[R]:
        if not isinstance(call, Call):
            raise WrongCall(f"flow '{self.name}': {call!r:.80} is no call; give task.call(…)")
        if self.steps and call.task.app is not self.app:
            raise WrongCall(
                f"flow '{self.name}': task {call.task.name} belongs to another App than its first step"
            )
        args, kwargs, uses = taken_out(call.args, call.kwargs)
        for use in uses:
            edges.setdefault(use.step, "success")
        for other in edges:
            if isinstance(other, Step) and other.flow is not self:
                raise WrongCall(
                    f"flow '{self.name}': step '{other.name}' belongs to another flow; wait for that flow's run, or its job"
                )
        condition, names = None, dict[str, Source | Step[Any]]()
        if when is not None:
            condition, names = self._condition(call, when, env)
            for what in names.values():
                if isinstance(what, Step):
                    edges.setdefault(what, "success")
        given = Call(call.task, tuple(args), kwargs) if uses else call
        step = Step(self, self._named(name, call.task.name), given, edges, uses, condition, names, env)
        self._names[step.name] = step
        return step

    def _named(self, name: str, task: str) -> str:
        if name:
            if not _NAME.fullmatch(name):
                raise ConfigError(
                    f"name={name!r}: up to 64 letters, digits and _ . - are due, a letter first"
                )
            if name in self._names:
                raise WrongCall(f"flow '{self.name}' has a step '{name}' already")
            return name
        base = re.sub(r"[^A-Za-z0-9_.-]", "_", task)[:50]
        while True:
            self._counts[base] = count = self._counts.get(base, 0) + 1
            made = base if count == 1 else f"{base}_{count}"
            if made not in self._names:
                return made

    def _condition(
        self, call: Call[Any], when: str, env: tuple[str, ...]
    ) -> tuple[Condition, dict[str, Source | Step[Any]]]:
        """The condition, and what its names stand for. It is tried with the arguments, and with samples of results."""
        arguments = call.task.signature.bind(*call.args, **call.kwargs)
        steps = {name: step for name, step in self._names.items() if step.undoes is None}
        condition = Condition.checked(when, {*arguments, *steps, *(("env",) if env else ())})
        samples: dict[str, Any] = {"env": dict.fromkeys(env, "a")}
        names: dict[str, Source | Step[Any]] = {}
        for name in sorted(condition.names - (set() if "env" in arguments or not env else {"env"})):
            if name in arguments:
                names[name], samples[name] = _argument(call, name, arguments), _sample(arguments[name])
            else:
                names[name], samples[name] = steps[name], sample_of(steps[name].call.task.returns_as)
        condition.try_with(samples)
        return condition, names


def _argument(call: Call[Any], name: str, arguments: Mapping[str, Any]) -> Source:
    """Where an argument stands in the call, or its default."""
    if name in call.kwargs:
        return Source("a", name)
    place = call.task.signature.names.index(name)
    return Source("a", place) if place < len(call.args) else Source("v", arguments[name])


def _sample(value: Any) -> Any:
    """An argument for a trial: an output has the type of its step's result, where that is whole."""
    if type(value) is not Output:
        return value
    step, path = value._step, value._path  # noqa: SLF001 - of this package
    return sample_of(object) if path else sample_of(step.call.task.returns_as)


def _edges(after: Any, on: On) -> dict[Step[Any] | str, On]:
    if isinstance(after, str | Step | Job | Run):
        raise WrongCall(f"after={after!r:.60}: a list is due, as in after=[paid]")
    pairs = after.items() if isinstance(after, Mapping) else [(other, on) for other in after]
    edges: dict[Step[Any] | str, On] = {}
    for other, how in pairs:
        if how not in _ONS:
            raise ConfigError(f"on={how!r}: it is one of {', '.join(_ONS)}")
        if isinstance(other, Step):
            edges[other] = how
        elif isinstance(other, Job | Run):
            edges[other.id] = how
        elif isinstance(other, str):
            edges[str(JobId.parse(other))] = how
        else:
            raise WrongCall(f"after has {other!r:.60}: steps, jobs, flows that run, or ids of these are due")
    return edges
