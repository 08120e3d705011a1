"""Between the actors and the server: calls that arrive, get lost, or are executed late; wakes that are lost too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any, TypeVar

import hiredis

from simulation.clock import Clock
from simulation.connection import Connection
from simulation.ledger import Violation
from simulation.library import WAKES
from simulation.witness import Witness
from streamq.errors import ProtocolError, StreamqError, from_reply
from streamq.protocol.call import Call

R = TypeVar("R")
ANCHOR = "sq:{s}"
LATENESS = (30, 150, 1000, 8000)


class Network:
    """Carries calls. ``on_wake`` hears of every wake that arrives: the consumer and the word."""

    def __init__(self, connection: Connection, clock: Clock, random: Random, witness: Witness) -> None:
        self.connection, self.clock, self.random, self.witness = connection, clock, random, witness
        self.faulty = False
        self.under_way = 0  # calls that are still to be executed late
        self.seen: Counter[str] = Counter()
        self.on_wake: Callable[[str, str], object] = lambda consumer, word: None

    def execute(self, operation: Callable[..., Call[R]], *args: Any) -> R:
        """Execute now, and answer truly. A refusal is raised as its error."""
        call = operation(ANCHOR, self.clock.wall, *args)
        questions = self.witness.questions(operation.__name__, args)
        function = ("FCALL", call.name, 1, ANCHOR, *call.args)
        *answers, reply, wakes = self.connection.pipeline(
            [*questions, function, ("LPOP", f"{ANCHOR}:{WAKES}", 1000)]
        )
        self.seen[call.function] += 1
        for wake in wakes or ():
            self._wake(*wake.decode().split(" "))
        if isinstance(reply, hiredis.ReplyError):
            raise self._refusal(call.function, reply)
        try:
            value = call.read(reply)
        except (IndexError, ValueError, TypeError) as error:
            raise Violation(f"{call.function} answered what cannot be read: {reply}") from error
        self.witness.saw(operation.__name__, args, value, answers)
        return value

    def send(self, operation: Callable[..., Call[R]], *args: Any) -> R | None:
        """Send over the network: None is an unknown outcome. A refusal that arrives is raised."""
        chance = self.random.random() if self.faulty else 0
        if chance < 0.88:
            return self.execute(operation, *args)
        if chance < 0.92:
            self.seen["requests lost"] += 1
        elif chance < 0.96:
            self.seen["replies lost"] += 1
            self._execute_unheard(operation, *args)
        else:
            self.seen["executed late"] += 1
            self.under_way += 1
            self.clock.after(self.random.choice(LATENESS), self._arrive_late, operation, args)
        return None

    def _arrive_late(self, operation: Callable[..., Call[Any]], args: tuple[Any, ...]) -> None:
        self.under_way -= 1
        self._execute_unheard(operation, *args)

    def _execute_unheard(self, operation: Callable[..., Call[Any]], *args: Any) -> None:
        try:
            self.execute(operation, *args)
        except StreamqError:
            self.seen["refusals unheard"] += 1

    def _wake(self, consumer: str, word: str) -> None:
        self.seen["wakes"] += 1
        if self.faulty and self.random.random() < 0.2:
            self.seen["wakes lost"] += 1
        else:
            self.clock.after(2, self.on_wake, consumer, word)

    @staticmethod
    def _refusal(function: str, reply: Exception) -> Exception:
        error = from_reply(str(reply))
        if error is None or isinstance(error, ProtocolError):
            return Violation(f"{function} failed: {reply}")
        return error
