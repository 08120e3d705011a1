"""What must hold between any two calls, judged from the raw keys: one function a rule, each names what is wrong."""

from __future__ import annotations

from collections.abc import Iterator

from simulation.ledger import Ledger
from simulation.shard import PSEUDO, Entry, Shard, order

STATES = {"delayed": ("scheduled", "retrying"), "following": ("waiting",), "dead": ("dead",)}
ENDS = ("completed", "dead", "cancelled", "expired", "purged")


def audit(shard: Shard, ledger: Ledger) -> list[str]:
    """Everything that is wrong; the ledger must have been reconciled with the same picture."""
    alone = (one_place, heads, owners, registry, switches, beside_deliveries, records, counters, lasting)
    compared = (unique_keys, revised, tags, waiters, ends)
    found = [sentence for rule in alone for sentence in rule(shard)]
    found += [sentence for rule in compared for sentence in rule(shard, ledger)]
    return found


def one_place(shard: Shard) -> Iterator[str]:
    """Every job is in exactly one place."""
    for job, places in shard.places().items():
        if len(places) > 1:
            yield f"{job} is in {' and '.join(places)}"
    for entry in shard.unowned:
        yield f"an entry of nobody: {entry.delivery} {entry.owner or 'acknowledged and not deleted'}"


def heads(shard: Shard) -> Iterator[str]:
    """A level with waiting entries has a head that is not later; the first lost delivery is exact."""
    first_lost: dict[str, str] = {}
    for entry in shard.waiting:
        head = shard.hashes["heads"].get(entry.level)
        if head is None or int(head) > order(entry.id)[0]:
            yield f"the head of level {entry.level} is {head}, and {entry.id} waits"
    for entry in shard.given:
        if entry.owner == "lost":
            first_lost.setdefault(entry.level, entry.id)
    known = {name[5:]: entry for name, entry in shard.hashes["heads"].items() if name.startswith("lost:")}
    if known != first_lost:
        yield f"first lost deliveries are {first_lost}, the heads say {known}"


def owners(shard: Shard) -> Iterator[str]:
    """A delivery's owner is registered and has a lease, or is a pseudo-consumer."""
    for entry in shard.given:
        registered = entry.owner in shard.hashes["consumers"] and entry.owner in shard.zsets["alive"]
        if entry.owner not in PSEUDO and not registered:
            yield f"no lease over {entry.delivery} of {entry.owner}"


def registry(shard: Shard) -> Iterator[str]:
    """All that names a consumer names a registered one."""
    known = shard.hashes["consumers"].keys()
    registered = {"alive": set(shard.zsets["alive"]), "workers": set(shard.hashes["workers"])}
    for name, names in registered.items():
        if names != known:
            yield f"{name} and consumers differ: {sorted(names ^ known)}"
    watch = shard.hashes["watch"]
    mentioned = {
        "idle": set(shard.zsets["idle"]),
        "woken": set(shard.zsets["woken"]),
        "watch": {watch["by"]} if watch else set(),
        "commands": set(shard.commands),
        "groups": {name for names in shard.members.values() for name in names} - set(PSEUDO),
    }
    for name, names in mentioned.items():
        if names - known:
            yield f"{name} remembers consumers that are gone: {sorted(names - known)}"


def switches(shard: Shard) -> Iterator[str]:
    """A switch is the number of things of its kind."""
    is_now = {
        "cancels": len(shard.hashes["cancels"]),
        "tombs": len(shard.tombs),
        "marks": len(shard.hashes["marks"]),
        "waiters": len(shard.hashes["waiters"]),
        "commands": sum(len(texts) for texts in shard.commands.values()),
        "suspects": sum(entry.owner == "suspects" for entry in shard.given),
    }
    for name, number in is_now.items():
        said = int(shard.hashes["meta"].get(name, 0))
        if said != number:
            yield f"switch {name} is {said}, there are {number}"


def beside_deliveries(shard: Shard) -> Iterator[str]:
    """Cancels and marks belong to entries that exist."""
    given, tombs = {entry.delivery for entry in shard.given}, {entry.delivery for entry in shard.tombs}
    for delivery, what in shard.hashes["cancels"].items():
        if delivery not in (tombs if what == "gone" else given):
            yield f"cancel {what} of {delivery}, which is not there"
    for delivery in shard.hashes["marks"]:
        if delivery not in given:
            yield f"marks of {delivery}, which is not given"


def records(shard: Shard) -> Iterator[str]:
    """A record belongs to a job that lives or is dead, and says where it is; what is kept of an ended one has an end."""
    entries: dict[str, Entry] = {entry.job: entry for entry in shard.waiting + shard.given}
    for job, record in shard.records.items():
        if not _fits(shard, job, record, entries.get(job)):
            yield f"the record of {job} does not fit its place: {record}"
    for job in [*shard.zsets["delayed"], *shard.zsets["following"], *shard.zsets["dead"]]:
        if job not in shard.records:
            yield f"no record of {job}"
    for entry in shard.waiting + shard.given:
        if entry.task == "@" and entry.job not in shard.records:
            yield f"no record behind {entry.delivery}"


def _fits(shard: Shard, job: str, record: dict[str, str], entry: Entry | None) -> bool:
    state = record.get("state", "")
    if entry:
        return state == "pending" and (record.get("entry"), record["level"]) == (entry.id, entry.level)
    for place, states in STATES.items():
        if job in shard.zsets[place]:
            return state in states and "entry" not in record
    return state in ("completed", "expired") and shard.ttl[f"job:{job}"] > 0


def counters(shard: Shard) -> Iterator[str]:
    """Counters are exact, and the terms add up."""
    is_now = {name: len(shard.zsets[name]) for name in ("delayed", "dead")}
    is_now |= {"waiting": len(shard.zsets["following"]), "repaired": 0}
    for level in shard.members:
        is_now[f"pending:{level}"] = sum(entry.level == level for entry in shard.waiting)
        is_now[f"active:{level}"] = sum(entry.level == level for entry in shard.given)
        is_now[f"tombs:{level}"] = sum(entry.level == level for entry in shard.tombs)
    counts = {name: int(value) for name, value in shard.hashes["counts"].items()}
    for name, number in is_now.items():
        if counts.get(name, 0) != number:
            yield f"counter {name} is {counts.get(name, 0)}, there are {number}"
    terms = [name for name in counts if name.startswith(("pending:", "active:"))]
    total = sum(counts.get(name, 0) for name in (*ENDS, "skipped", "delayed", "waiting", *terms))
    enqueued = int(shard.hashes["meta"].get("enqueued", 0))
    if enqueued != total:
        yield f"{enqueued} were enqueued, {total} are accounted for"


def unique_keys(shard: Shard, ledger: Ledger) -> Iterator[str]:
    """A key names a live holder, or has an end; whoever must hold a key holds it."""
    for key, value in shard.unique.items():
        job_id, _, mode = value.partition(" ")
        job = ledger.jobs.get(job_id)
        if mode.startswith("for "):
            if shard.ttl[f"unique:{key}"] <= 0:
                yield f"unique key {key} for a time has no end"
        elif job is None or job.unique != key or not job.must_hold:
            yield f"unique key {key} leaked: {value} is {job.end or 'started' if job else 'unknown'}"
    for job in ledger.open_jobs():
        if job.unique and job.must_hold and shard.unique.get(job.unique) != f"{job.id} {job.until}":
            yield f"{job.id} does not hold its key {job.unique}: {shard.unique.get(job.unique)}"


def revised(shard: Shard, ledger: Ledger) -> Iterator[str]:
    """A job is where and when the last call said; a follower follows whom it must."""
    for entry in shard.waiting:
        job = ledger.get(entry.job)
        if job.level != entry.level:
            yield f"{job.id} waits in level {entry.level}, it belongs to {job.level}"
    for job_id, due in shard.zsets["delayed"].items():
        job = ledger.get(job_id)
        if job.first is not None and job.due and due != job.due:
            yield f"{job_id} is due at {due}, its last call says {job.due}"
    follows = {job.id: job.follows for job in ledger.open_jobs() if job.follows}
    said = {job_id: shard.records[job_id].get("follows") for job_id in shard.zsets["following"]}
    mutual = {shard.records.get(before or "", {}).get("follower"): before for before in said.values()}
    if follows != said or mutual != said:
        yield f"followers differ: {sorted(follows.items() ^ said.items())}"


def tags(shard: Shard, ledger: Ledger) -> Iterator[str]:
    """A tag's set is exactly the jobs that carry it, alive or dead."""
    carried: dict[str, set[str]] = {}
    for job in ledger.jobs.values():
        if job.end in (None, "dead"):
            for tag in filter(None, job.options.get("tags", "").split(",")):
                carried.setdefault(tag, set()).add(job.id)
    if carried != shard.tags:
        different = {tag: shard.tags.get(tag, set()) ^ jobs for tag, jobs in carried.items()}
        yield f"tags differ: {different}, stray: {sorted(shard.tags.keys() - carried.keys())}"


def waiters(shard: Shard, ledger: Ledger) -> Iterator[str]:
    """Who waits, waits for a job that has not ended."""
    registered = {key: job for job, keys in shard.hashes["waiters"].items() for key in keys.split()}
    if registered != ledger.waiters:
        yield f"waiters differ: {sorted(registered.items() ^ ledger.waiters.items())}"


def lasting(shard: Shard) -> Iterator[str]:
    """What was told of a running job, and what producers said, is forgotten after a day."""
    for key, ttl in shard.ttl.items():
        if key.startswith(("progress:", "producer:")) and ttl <= 0:
            yield f"{key} has no end"


def ends(shard: Shard, ledger: Ledger) -> Iterator[str]:
    """The counters of ends agree with what the ledger saw."""
    for name in ENDS:
        counted = int(shard.hashes["counts"].get(name, 0))
        if counted != ledger.ends[name]:
            yield f"{counted} are counted as {name}, {ledger.ends[name]} were seen"
