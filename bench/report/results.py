"""Several results as one for each kind of server: of each part the latest file that has it counts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Result", "medians", "merged", "read"]


@dataclass(frozen=True, slots=True)
class Result:
    """What was found on one kind of server: its parts by name, when each was, and the machine as the latest file says.

    ``failed`` names the parts that failed when they were measured last, with the reason.
    """

    kind: str
    machine: Mapping[str, Any]
    parts: Mapping[str, Mapping[str, Any]]
    dates: Mapping[str, str]
    failed: Mapping[str, str]

    def number(self, part: str, figure: str) -> float | None:
        """A figure's median; None when it was not measured, or is no number."""
        return medians(self.parts.get(part, {})).get(figure)


def read(files: Iterable[Path]) -> list[Result]:
    """The results of these files, by kind, in the order of the files' times; a kind stands where it came first."""
    found = [json.loads(file.read_text()) for file in files]
    return merged(sorted(found, key=lambda one: str(one["machine"]["date"])))


def merged(found: Iterable[dict[str, Any]]) -> list[Result]:
    """One result of each kind; later parts replace earlier ones."""
    results: dict[str, Result] = {}
    for one in found:
        machine, kind = one["machine"], _kind(one["machine"])
        taken = {name: part for name, part in one.items() if name != "machine"}
        failed = {name: part["failed"] for name, part in taken.items() if "failed" in part}
        parts = {name: part for name, part in taken.items() if name not in failed}
        dates = dict.fromkeys(parts, str(machine["date"]))
        if before := results.get(kind):
            parts, dates = {**before.parts, **parts}, {**before.dates, **dates}
            failed = {name: why for name, why in before.failed.items() if name not in taken} | failed
        results[kind] = Result(kind, machine, parts, dates, failed)
    return list(results.values())


def medians(part: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a part; of repeated ones the median."""
    numbers = {
        name: value.get("median") if isinstance(value, dict) else value for name, value in part.items()
    }
    return {name: float(value) for name, value in numbers.items() if isinstance(value, int | float)}


def _kind(machine: Mapping[str, Any]) -> str:
    return f"{machine['server']}, {'AOF everysec' if machine['aof'] else 'no AOF'}"
