"""Finds the App that a name like ``shop``, ``shop:app`` or ``src/shop.py`` means."""

from __future__ import annotations

import importlib
import sys
from importlib import import_module
from pathlib import Path
from traceback import extract_tb
from types import ModuleType
from typing import TYPE_CHECKING

from streamq.errors import ConfigError

if TYPE_CHECKING:
    from streamq.app import App

__all__ = ["load_app"]


def load_app(name: str, folder: Path) -> App:
    """Import the module from ``folder``, the current one, or the path of Python, and find its App.

    A path (``src/shop.py``) will do as well. Raises ConfigError that says why there is none.
    """
    written, _, attribute = name.partition(":")
    module = _load_module(*_module_and_folder(written, folder))
    return _attribute(module, attribute) if attribute else _only_app(module)


def _module_and_folder(written: str, folder: Path) -> tuple[str, Path]:
    """The module that is meant, and where to look for it first. A file that lies elsewhere is its own top."""
    if "/" not in written:
        return written.removesuffix(".py"), folder
    path = Path(written).expanduser().resolve().with_suffix("")
    for top in (Path.cwd(), folder):
        if path.is_relative_to(top):
            return ".".join(path.relative_to(top).parts), top
    return path.name, path.parent


def _load_module(name: str, folder: Path) -> ModuleType:
    places = list(dict.fromkeys(map(str, (folder, Path.cwd()))))
    sys.path[:0] = [place for place in places if place not in sys.path]
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise ConfigError(
                f"there is no module {name} in {' or '.join(places)} or on the path of Python; "
                "name that of your App, as in --app shop"
            ) from error
        raise _broken(name, error) from error
    except Exception as error:
        raise _broken(name, error) from error


def _broken(name: str, error: Exception) -> ConfigError:
    """The error of an import, with the line of the user's that led to it."""
    ours = (str(Path(__file__).parents[1]), str(Path(importlib.__file__).parent), "<frozen ")
    lines = [frame for frame in extract_tb(error.__traceback__) if not frame.filename.startswith(ours)]
    place = f" ({lines[-1].filename}:{lines[-1].lineno})" if lines else ""
    return ConfigError(
        f"{name} cannot be imported: {type(error).__name__}: {error}{place}; --debug shows all"
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
