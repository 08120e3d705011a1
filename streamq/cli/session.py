"""What one run of the command line works with: the shared options, and what is made of them when it is needed.

Settings, App and engine are imported and opened late: ``streamq --help`` needs none of them.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from streamq.cli.screen import Screen, View
from streamq.errors import ConfigError

if TYPE_CHECKING:
    from streamq.app import App
    from streamq.config import Config
    from streamq.engines.base import Engine
    from streamq.protocol import Call, Flow
    from streamq.queue import Queue
    from streamq.wire import Payloads

__all__ = ["Session"]

R = TypeVar("R")


class Session:
    """``url``, ``namespace``, ``app_name``, ``as_json`` and ``debug`` are the shared options, None where not given."""

    def __init__(self) -> None:
        self.url: str | None = None
        self.namespace: str | None = None
        self.app_name: str | None = None
        self.as_json: bool | None = None
        self.debug: bool | None = None

    @cached_property
    def config(self) -> Config:
        """The settings: those of the App where one is named and its code may say where the server is.

        Raises ConfigError for ``memory://``, which no command can look into.
        """
        return self.app.config if self._asks_app else _shared(self._named)

    @cached_property
    def app(self) -> App:
        """The App that is named, with the options of this run. Raises ConfigError when there is none."""
        from streamq.cli.apps import load_app

        if not self._named.app:
            raise ConfigError(
                'no App is named: give its module ("streamq work shop", --app shop), '
                "or set STREAMQ_APP or [tool.streamq] app"
            )
        in_project = self._named.source("app") in {"pyproject.toml", ".env"}
        app = load_app(self._named.app, self._named.project if in_project else Path.cwd())
        given: dict[str, Any] = {name: value for name, value in self._given().items() if value is not None}
        if given:
            sources = dict.fromkeys(given, "argument")
            app.config = replace(app.config, **given, sources={**app.config.sources, **sources})
        _shared(app.config)
        return app

    @property
    def has_app(self) -> bool:
        """Whether an App is named, by an option or a setting."""
        return self._named.app is not None

    @cached_property
    def engine(self) -> Engine:
        """The way to the server."""
        from streamq.engines.factory import open_engine

        return open_engine(self.config)

    @cached_property
    def any_app(self) -> App:
        """The App that is named, or one without tasks: it reads payloads and sends jobs all the same."""
        from streamq.app import App

        return self.app if self._asks_app else App(config=self.config)

    @property
    def payloads(self) -> Payloads:
        """How arguments and results become bytes."""
        return self.any_app.payloads

    def run(self, call: Call[R]) -> R:
        """Carry one operation."""
        return self.engine.run(call)

    def follow(self, flow: Flow[R]) -> R:
        """Carry an operation of several calls."""
        from streamq.queue import follow

        return follow(self.engine, flow)

    def place(self, job: str) -> tuple[Queue, str]:
        """The shard of a job, and its id there. Raises JobNotFound for what is no id."""
        from streamq.protocol.keys import JobId
        from streamq.queue import Queue

        where = JobId.parse(job)
        return Queue(where.queue, namespace=self.config.namespace, shard=where.shard), where.local

    def show(self, document: Any, *views: View) -> None:
        """Print the document with ``--json``, else the views."""
        screen = Screen(sys.stdout)
        if self.as_json:
            screen.document(document)
            return
        for view in views:
            screen.view(view)

    def confirm(self, question: str, yes: bool) -> None:
        """Ask before something is destroyed. Where nobody can be asked, ``--yes`` is needed."""
        if yes:
            return
        if not sys.stdin.isatty():
            raise click.UsageError(f"{question} Nobody can be asked here: say --yes.")
        click.confirm(question, abort=True, err=True)

    def close(self) -> None:
        """Close what was opened."""
        with suppress(Exception):
            if "engine" in self.__dict__:
                self.engine.close()
            if "any_app" in self.__dict__:
                self.any_app.close()

    @property
    def _asks_app(self) -> bool:
        """Whether an App is named and the settings alone do not say which queues are meant."""
        places = {name: self._named.source(name) for name in ("url", "namespace")}
        return self.has_app and not self.url and "default" in places.values()

    @cached_property
    def _named(self) -> Config:
        """The settings as far as they are known without the App."""
        from streamq.config import Config

        return Config.load(**self._given(), app=self.app_name)

    def _given(self) -> dict[str, Any]:
        return {"url": self.url, "namespace": self.namespace}


def _shared(config: Config) -> Config:
    """The settings, unless they mean a place that exists in one process only."""
    if (config.url or "").startswith("memory://"):
        raise ConfigError(
            f"url is {config.url} ({config.source('url')}), which lives inside one process and is for tests: "
            "a command cannot look into it. Name a server, or none for the embedded one"
        )
    return config
