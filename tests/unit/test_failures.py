"""What error replies mean, for those that no test can easily make a server say."""

from __future__ import annotations

import pytest

from streamq.engines.failures import Busy, lost, refusal, unreachable
from streamq.errors import (
    ConnectionLost,
    ProtocolError,
    ReadOnlyServer,
    ServerUnavailable,
    StreamqError,
    WrongState,
)

WHERE = "redis://127.0.0.1:6379"


@pytest.mark.parametrize(
    ("reply", "kind", "said"),
    [
        (
            "MISCONF Errors writing to the AOF file: No space left on device",
            ReadOnlyServer,
            "make room there",
        ),
        ("NOREPLICAS Not enough good replicas to write.", ReadOnlyServer, "min-replicas-to-write"),
        ("LOADING Redis is loading the dataset in memory", Busy, "is not ready: Redis is loading"),
        ("BUSY Redis is busy running a script.", Busy, "is not ready: Redis is busy"),
        ("TRYAGAIN Multiple keys request during rehashing of slot", Busy, "is not ready"),
        ("MOVED 866 127.0.0.1:7001", Busy, "is not ready"),
        ("CLUSTERDOWN The cluster is down", Busy, "is not ready"),
        (
            "ERR The user executing the script can't run this command or subcommand",
            ServerUnavailable,
            "ACL SETUSER",
        ),
        ("STATE job 5-1-1 is active", WrongState, "job 5-1-1 is active"),
        ("ERR max number of clients reached", Busy, "raise its maxclients"),
        ("ERR max number of clients + cluster connections reached", Busy, "raise its maxclients"),
        ("ERR something new", ProtocolError, "answered: ERR something new"),
    ],
)
def test_an_error_reply_becomes_the_error_with_its_remedy(
    reply: str, kind: type[StreamqError], said: str
) -> None:
    error = refusal(reply, WHERE)
    assert isinstance(error, kind)
    assert said in str(error)


def test_what_the_system_says_is_said_in_words() -> None:
    assert "(connection refused)" in str(unreachable(ConnectionRefusedError(111, "whatever"), WHERE))
    assert "(timed out)" in str(unreachable(TimeoutError(), WHERE))


def test_a_lost_connection_never_says_that_nothing_happened() -> None:
    for error in (None, ConnectionResetError(104, "reset"), TimeoutError(), ValueError("odd bytes")):
        assert isinstance(lost(error, WHERE), ConnectionLost)
        assert "may have been executed" in str(lost(error, WHERE))
