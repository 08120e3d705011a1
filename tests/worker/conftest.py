"""The tasks of the tests with real worker processes, as the test itself has them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType

import pytest

from servers import Server


@pytest.fixture
def yard_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Server], ModuleType]]:
    """What imports the tasks anew, for a server."""
    with ExitStack() as stack:

        def imported(server: Server) -> ModuleType:
            monkeypatch.setenv("STREAMQ_URL", server.url)
            spec = importlib.util.spec_from_file_location("yard", Path(__file__).parent / "yard.py")
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            stack.callback(module.app.close)
            return module

        yield imported


@pytest.fixture
def yard(valkey: Server, yard_at: Callable[[Server], ModuleType]) -> ModuleType:
    """The tasks, on the server of the test."""
    return yard_at(valkey)
