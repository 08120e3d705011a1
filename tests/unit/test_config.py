"""Settings: where each comes from, what is refused, and that no secret is shown."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from streamq.config import Config, Durability, project_folder
from streamq.errors import ConfigError


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text(
        '[tool.streamq]\nnamespace = "toml"\napp = "toml"\nlease = 11\nworkers = 1\n'
    )
    (tmp_path / ".env").write_text(
        "STREAMQ_NAMESPACE=dotenv\nSTREAMQ_LEASE=12s\nSTREAMQ_WORKERS=2\nOTHER=ignored\n"
    )
    return tmp_path


def test_each_place_wins_over_the_weaker_ones_and_is_named(project: Path) -> None:
    config = Config.load(
        project=project, environment={"STREAMQ_LEASE": "13s", "STREAMQ_WORKERS": "3"}, workers=4
    )
    found = {
        name: (getattr(config, name), config.source(name))
        for name in ("log", "app", "namespace", "lease", "workers")
    }
    assert found == {
        "log": ("text", "default"),
        "app": ("toml", "pyproject.toml"),
        "namespace": ("dotenv", ".env"),
        "lease": (13.0, "STREAMQ_LEASE"),
        "workers": (4, "argument"),
    }


def test_an_argument_that_was_not_given_and_an_empty_variable_do_not_count(tmp_path: Path) -> None:
    config = Config.load(project=tmp_path, environment={"STREAMQ_NAMESPACE": ""}, url=None)
    assert (config.url, config.source("url"), config.namespace) == (None, "default", "sq")


@pytest.mark.parametrize(
    ("environment", "given", "said"),
    [
        ({"STREAMQ_NAMSPACE": "x"}, {}, "STREAMQ_NAMSPACE.*did you mean STREAMQ_NAMESPACE"),
        ({"STREAMQ_QQQQQQ": "x"}, {}, "STREAMQ_QQQQQQ.*streamq config"),
        ({}, {"leese": 3}, "leese.*did you mean lease"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_one(
    tmp_path: Path, environment: dict[str, str], given: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        Config.load(project=tmp_path, environment=environment, **given)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lease", "soon"),
        ("lease", 0),
        ("durability", "forever"),
        ("workers", "-1"),
        ("workers", "many"),
        ("namespace", "a{b"),
        ("health_port", 70_000),
        ("log", "xml"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"^{name} is {value!r} \\(default\\)"):
        Config(**{name: value})  # type: ignore[arg-type]


def test_the_source_of_a_bad_value_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^lease is 'x' \(STREAMQ_LEASE\)"):
        Config.load(project=tmp_path, environment={"STREAMQ_LEASE": "x"})


def test_values_are_read_as_what_they_mean() -> None:
    config = Config(lease=timedelta(minutes=1), durability="fsynced", data="~/q")  # type: ignore[arg-type]
    assert (config.lease, config.durability, config.data) == (60.0, Durability.FSYNCED, Path.home() / "q")


@pytest.mark.parametrize(
    "url", ["redis://user:s3cret@host:1/0", "redis://:s3cret@host", "sentinel://u:s3/cr@et@a:1,b:2/m"]
)
def test_no_secret_is_shown(url: str) -> None:
    config = Config(url=url, keys="k1:s3cret")
    shown = f"{config!r} {config.describe()}"
    assert "s3" not in shown
    assert "et@" not in shown
    assert "host" in shown or "a:1,b:2" in shown


def test_every_setting_is_described() -> None:
    described = Config().describe()
    assert [one.name for one in described][:3] == ["url", "namespace", "app"]
    assert all(one.help and one.source == "default" for one in described)


def test_the_project_is_the_nearest_folder_that_looks_like_one(project: Path) -> None:
    deep = project / "a" / "b"
    deep.mkdir(parents=True)
    assert project_folder(deep) == project
    (project / "a" / ".git").mkdir()
    assert project_folder(deep) == project / "a"


def test_broken_toml_is_named(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.streamq\n")
    with pytest.raises(ConfigError, match=r"pyproject\.toml is not valid TOML"):
        Config.load(project=tmp_path, environment={})
