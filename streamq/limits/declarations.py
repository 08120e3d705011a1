"""What the code of one App says of limits, by queue: collected while tasks are declared, told to the server before first use."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from streamq.limits.keys import QUEUE
from streamq.limits.rule import Rule

__all__ = ["Declarations"]


class Declarations:
    """Rules by the server's names: those that the keys of a queue's tasks have, and those of whole queues.

    A rule belongs to a name, wherever that is used: ``app.lane`` may come before or after the tasks that name the lane.
    """

    def __init__(self) -> None:
        self._rules: dict[str, Rule] = {}
        self._used: defaultdict[str, dict[str, None]] = defaultdict(dict)  # queue → names of rules, in order
        self._own: dict[str, dict[str, Rule]] = {}  # queue → rules of that queue alone
        self.version = 0  # rises with every change

    def add(self, rules: Mapping[str, Rule]) -> None:
        """Say something of names. Raises ConfigError when something else was said of them before."""
        joined = {name: self._rules.get(name, Rule()).joined(name, rule) for name, rule in rules.items()}
        if not joined.items() <= self._rules.items():
            self._rules.update(joined)
            self.version += 1

    def use(self, queue: str, names: Mapping[str, Rule]) -> bool:
        """The queue has jobs with these keys; whether that is new."""
        used = self._used[queue]
        is_new = not names.keys() <= used.keys()
        if is_new:
            used.update(dict.fromkeys(names))
            self.version += 1
        return is_new

    def add_own(self, queue: str, rules: Mapping[str, Rule]) -> None:
        """Say something of one queue as a whole. Raises ConfigError when something else was said before."""
        own = self._own.get(queue, {})
        joined = {name: own.get(name, Rule()).joined(name, rule) for name, rule in rules.items()}
        self._own[queue] = {**own, **joined}
        self.version += 1

    def limits_whole(self, queue: str) -> bool:
        """Whether the queue has a limit that all its jobs share."""
        return QUEUE in self._own.get(queue, {})

    def of(self, queue: str) -> dict[str, str]:
        """The server's texts by name, for one queue; empty when it has no limits."""
        used = self._used.get(queue, {})
        weighed = {
            name: rule
            for name, rule in self._rules.items()
            if name in used or f"{name.partition(':')[0]}:*" in used
        }
        return {name: rule.text for name, rule in {**weighed, **self._own.get(queue, {})}.items()}

    def queues_of(self, name: str) -> list[str]:
        """The queues whose tasks have keys of this name."""
        return [queue for queue, used in self._used.items() if name in used or f"{name}:*" in used]
