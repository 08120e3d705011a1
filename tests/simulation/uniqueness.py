"""What must become of a job whose unique key is held, by the rules of ``docs/protocol.md``: the model of latest, replace and
debounce. The ledger must be up to date when a call is held against it (``revises`` says for which calls)."""

from __future__ import annotations

from collections.abc import Sequence

from simulation.ledger import Job, Ledger, Violation
from simulation.rows import pairs
from streamq.protocol.enqueue import NewJob

REVISED = "shared"  # how the keys begin that every rule uses
PARTS = ("arguments", "priority")  # what a call replaces by itself; the time too, where it says one


def shares_key(new: NewJob) -> bool:
    """Whether its key is one that every rule uses."""
    return str(dict(pairs(new.options)).get("unique", "")).startswith(REVISED)


def revises(jobs: Sequence[NewJob]) -> bool:
    """Whether a call may change jobs that are there."""
    return any(shares_key(new) for new in jobs)


def options_of(new: NewJob) -> dict[str, str]:
    """Its pairs; a debounced job holds its key until its start."""
    options = {name: str(value) for name, value in pairs(new.options)}
    return options | {"until": "start"} if "debounce" in options else options


def due_of(options: dict[str, str], now: int) -> int:
    """When a new job with these options is due; 0 when it is at once."""
    if "debounce" in options:
        return now + min(int(options["debounce"]), int(options.get("longest", options["debounce"])))
    return now + int(options["delay"]) if "delay" in options else int(options.get("at", 0))


def meet(ledger: Ledger, now: int, answered: str, new: NewJob, *, stands: bool) -> str | None:
    """Hold the answer for one job against the rules, and revise the job that stands for it; whom a new one follows."""
    options = options_of(new)
    holder = next(
        (job for job in ledger.open_jobs() if job.unique == options["unique"] and job.must_hold), None
    )
    rule = "latest" if "debounce" in options else options.get("on_conflict", "existing")
    standing = _standing(ledger, holder, rule)
    if stands != (standing is not None) or (standing and standing.id != answered):
        raise Violation(
            f"{answered} {'stands for' if stands else 'is'} {new}, due is {standing} (held by {holder})"
        )
    if standing is None:
        return holder.id if holder else None
    if rule != "existing" and not standing.given:
        _revise(standing, options, new, now)
    return None


def _standing(ledger: Ledger, holder: Job | None, rule: str) -> Job | None:
    """The job that stands for a new one."""
    if holder is None or rule == "existing":
        return holder
    follower = next((job for job in ledger.open_jobs() if job.follows == holder.id), None)
    if follower or rule == "replace" or not holder.given:
        return follower or holder
    return None


def _revise(job: Job, options: dict[str, str], new: NewJob, now: int) -> None:
    parts = options["replace"].split(",") if "replace" in options else PARTS
    due = _new_due(job, options, parts, now)
    kept = {name: job.options[name] for name in ("unique", "tags") if name in job.options}
    if "arguments" in parts:
        job.task, job.body, job.attempts = new.task, new.body.decode(), 0
        kept = {name: options[name] for name in ("unique", "tags") if name in options}
    if "arguments" in parts or due is not None:
        starts = max(now, job.due if due is None else due)
        job.expires_at = starts + int(options["expires"]) if "expires" in options else None
        job.deadline_at = now + int(options["within"]) if "within" in options else None
    if due is None and "arguments" in parts and job.struck:
        due = now
    if due is not None:
        job.struck = ""
    if "priority" in parts:
        job.level = str(new.level)
    job.options = kept | {"until": options.get("until", "done")}
    job.due, job.moved, job.fresh = job.due if due is None else due, True, True


def _new_due(job: Job, options: dict[str, str], parts: Sequence[str], now: int) -> int | None:
    if "debounce" in options:
        job.first = now if job.first is None else job.first
        due = now + int(options["debounce"])
        return min(due, job.first + int(options["longest"])) if "longest" in options else due
    said = due_of(options, now)
    if "time" in parts or (parts is PARTS and said):
        return max(said, now)
    return None
