"""Finds the App that a name like ``shop`` or ``shop:app`` means. The current folder is searched like any other."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from streamq.errors import ConfigError

if TYPE_CHECKING:
    from streamq.app import App

__all__ = ["load_app"]


def load_app(name: str) -> App:
    """Import the module and find its App. Raises ConfigError that says why there is none."""
    written, _, attribute = name.partition(":")
    module = _load_module(written.removesuffix(".py").replace("/", "."))
    return _attribute(module, attribute) if attribute else _only_app(module)


def _load_module(name: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise ConfigError(
                f"there is no module {name} in {here} or on the path of Python; name that of your App, as in --app shop"
            ) from error
        raise _broken(name, error) from error
    except Exception as error:
        raise _broken(name, error) from error


def _broken(name: str, error: Exception) -> ConfigError:
    trace, place = error.__traceback__, ""
    while trace:
        place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    return ConfigError(
        f"{name} cannot be imported: {type(error).__name__}: {error} ({place}); --debug shows all"
    )


def _attribute(module: ModuleType, path: str) -> App:
    from streamq.app import App

    found: object = module
    for part in path.split("."):
        if not hasattr(found, part):
            raise ConfigError(f"{module.__name__} has no {path}{_hint(_apps(module))}")
        found = getattr(found, part)
    if isinstance(found, App):
        return found
    raise ConfigError(
        f"{module.__name__}:{path} is no App but a {type(found).__name__}{_hint(_apps(module))}"
    )


def _only_app(module: ModuleType) -> App:
    apps = _apps(module)
    if len({id(app) for app in apps.values()}) == 1:
        return next(iter(apps.values()))
    name = module.__name__
    if apps:
        choices = ", ".join(f"{name}:{attribute}" for attribute in apps)
        raise ConfigError(f"{name} has several Apps; name one of {choices}")
    raise ConfigError(f"{name} has no App; make one there: app = streamq.App()")


def _apps(module: ModuleType) -> dict[str, App]:
    from streamq.app import App

    return {name: value for name, value in vars(module).items() if isinstance(value, App)}


def _hint(apps: dict[str, App]) -> str:
    return f"; its Apps are {', '.join(apps)}" if apps else "; make one there: app = streamq.App()"
