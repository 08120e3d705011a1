"""``streamq doctor``: looks at the server and the queues for what would hurt, and says the remedy for each finding."""

from __future__ import annotations

from collections.abc import Iterator

import click

from streamq.cli.checks import SERVER_CHECKS, Finding, Level, Vitals
from streamq.cli.checks_queues import check_queues
from streamq.cli.command import Verb
from streamq.cli.screen import Table
from streamq.cli.session import Session
from streamq.errors import ServerUnavailable

__all__ = ["doctor"]


@click.command(cls=Verb)
@click.pass_obj
def doctor(session: Session) -> int:
    """Examine the server and the queues; the exit code is 1 when something fails."""
    findings = list(_examined(session))
    rows = [(finding.level.value, finding.subject, finding.text, finding.remedy) for finding in findings]
    session.show(findings, Table(("", "what", "finding", "remedy"), rows))
    return 1 if any(finding.level is Level.FAIL for finding in findings) else 0


def _examined(session: Session) -> Iterator[Finding]:
    try:
        vitals = Vitals.take(session)
    except ServerUnavailable as error:
        what, _, remedy = str(error).partition("\n")
        yield Finding(Level.FAIL, "server", what, remedy)
        return
    for check in SERVER_CHECKS:
        yield check(vitals)
    if vitals.library is not None:
        yield from check_queues(session)
