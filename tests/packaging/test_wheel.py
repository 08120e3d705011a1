"""What is in the wheel: the package, its types and the function library."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]


def test_the_wheel_has_the_types_and_every_file_of_the_function_library(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=CHECKOUT, check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())

    library = {f"streamq/lua/{file.name}" for file in (CHECKOUT / "lua").glob("*.lua")}
    assert library
    assert {"streamq/py.typed", "streamq/__init__.py", *library} <= names
    assert not [name for name in names if not name.startswith(("streamq/", "streamq-"))]
