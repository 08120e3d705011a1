"""What ``scripts/environment`` says on machines that lack something. It must say it in one line and change nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with nothing but what the script looks at."""
    shutil.copytree(CHECKOUT / "scripts", tmp_path / "scripts")
    shutil.copy(CHECKOUT / "pyproject.toml", tmp_path)
    return tmp_path


def run(checkout: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [checkout / "scripts/environment"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def python_that(checkout: Path, condition: str) -> str:
    """A Python whose ``-c`` programs fail when ``condition`` (of the shell, over ``$2``) holds."""
    path = checkout / "python"
    path.write_text(f'#!/bin/sh\nif {condition}; then exit 1; fi\nexec python3 "$@"\n')
    path.chmod(0o755)
    return str(path)


def test_an_old_python_is_refused_in_one_line(checkout: Path) -> None:
    ended = run(checkout, PYTHON=python_that(checkout, "true"))

    assert ended.returncode == 1
    assert ended.stderr.startswith("streamq: no Python 3.11 or newer found")
    assert ended.stderr.count("\n") == 1


def test_a_python_without_venv_is_named_with_the_remedy(checkout: Path) -> None:
    python = python_that(checkout, 'case "$2" in *ensurepip*) true;; *) false;; esac')
    ended = run(checkout, PYTHON=python)

    assert ended.returncode == 1
    assert ended.stderr.startswith(f"streamq: {python} has no venv and ensurepip")
    assert "apt-get install python3-venv" in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert not (checkout / ".venv").exists()


def test_a_folder_of_that_name_without_a_python_is_left_alone(checkout: Path) -> None:
    precious = checkout / ".venv" / "precious"
    precious.parent.mkdir()
    precious.write_text("kept")
    ended = run(checkout)

    assert ended.returncode == 1
    assert ".venv is there" in ended.stderr
    assert precious.read_text() == "kept"


def test_what_was_installed_for_this_pyproject_is_not_installed_again(checkout: Path) -> None:
    binaries = checkout / ".venv" / "bin"
    binaries.mkdir(parents=True)
    python = binaries / "python"
    python.write_text('#!/bin/sh\n[ "$1" = -c ] && exec python3 "$@"\necho "$@" >>"$(dirname "$0")/asked"\n')
    python.chmod(0o755)

    first, second = run(checkout), run(checkout)
    (checkout / "pyproject.toml").write_text("# changed\n")
    third = run(checkout)

    assert "installing project" in first.stdout
    assert second.stdout == ""
    assert "installing project" in third.stdout
    assert (binaries / "asked").read_text().count(
        "install --quiet --disable-pip-version-check --editable ."
    ) == 2
