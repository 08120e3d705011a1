"""Writes PERFORMANCE_REPORT.md and docs/performance/*.svg from results."""

from __future__ import annotations

import argparse
import importlib.util
import json
from pathlib import Path

from bench.places import ROOT
from bench.report.gallery import draw
from bench.report.page import page
from bench.report.results import read

RESULTS = ROOT / "bench/results"
NOTES = ROOT / "bench/notes.md"  # what a person says to the figures


def main() -> None:
    """``python -m bench.report [RESULT.json …] [--into FOLDER]``."""
    parser = argparse.ArgumentParser(prog="python -m bench.report", description=__doc__)
    parser.add_argument(
        "files", nargs="*", type=Path, help="by default all of bench/results/ but those of --quick"
    )
    parser.add_argument("--into", type=Path, default=ROOT, help="where the report and docs/performance go")
    chosen = parser.parse_args()
    if importlib.util.find_spec("matplotlib") is None:
        parser.error("matplotlib is not installed; pip install -e '.[bench]', or use make report")
    files = chosen.files or whole(RESULTS)
    if not files:
        parser.error(
            "bench/results/ has no whole measurement; measure first, with make bench, or name a file"
        )
    write(files, chosen.into.resolve())
    print(f"written: {chosen.into / 'PERFORMANCE_REPORT.md'}")


def whole(folder: Path) -> list[Path]:
    """All results but those of small measurements (``--quick``)."""
    files = sorted(folder.glob("*.json"))
    return [file for file in files if json.loads(file.read_text())["machine"].get("scale", 1) == 1]


def write(files: list[Path], into: Path) -> None:
    """The report and its plots into a folder; plots of another report that was there are removed."""
    folder = into / "docs/performance"
    for old in folder.rglob("*.svg"):
        old.unlink()
    results = read(files)
    drawn = [draw(found, folder / _folder_name(found.kind)) for found in results]
    text = page(list(zip(results, drawn, strict=True)), NOTES.read_text(), into)
    (into / "PERFORMANCE_REPORT.md").write_text(text)


def _folder_name(kind: str) -> str:
    return kind.partition(".")[0].replace(" ", "-") + ("" if "everysec" in kind else "-no-aof")


if __name__ == "__main__":
    main()
