"""The demo: real jobs on real files in real worker processes, with a look at what happens while it happens.

    python examples/demo [FOLDER]

It starts a server of its own in FOLDER (default: demo-files), fills the folder with pictures and texts, puts jobs in,
runs them in two worker processes, and shows what became of each. It ends with 0 only when all is as it should be.
FOLDER must be new, empty, or one that the demo made before: nothing else is ever cleaned.
``jobs.py`` beside this file is what a user writes; the rest is the show.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from files import make_files
from jobs import app, contact_sheet
from log import WorkersLog
from report import show_report
from rich.console import Console
from rich.markup import escape
from watch import DemoFailed, watch
from work import put_in, sheet_of

from streamq import StreamqError
from streamq.engines import embedded

CHECKOUT = Path(__file__).parents[2]
PATIENCE = 50  # seconds
WORKERS = 2


def main() -> int:
    """Run the demo; the exit status."""
    parser = argparse.ArgumentParser(
        prog="scripts/demo", description="Real jobs on real files in real workers."
    )
    parser.add_argument("folder", nargs="?", type=Path, default=CHECKOUT / "demo-files", metavar="FOLDER")
    folder = parser.parse_args().folder.resolve()
    if not claim(folder):
        parser.error(f"{folder} holds other things than those of a demo: name a new folder")
    os.environ.update(STREAMQ_URL="embedded://", STREAMQ_DATA=str(folder / "server"))
    console = Console(highlight=False)
    try:
        with own_server(folder) as url:
            return 0 if show(console, folder, url) else 1
    except (DemoFailed, StreamqError) as error:
        console.print(f"[bold red]the demo failed:[/] {escape(str(error))}", soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("stopped; the server and the workers are gone")
        return 130


def claim(folder: Path) -> bool:
    """Make the folder one of the demo's, whose contents it may clean; False when it is somebody else's."""
    marker = folder / ".streamq-demo"
    if folder.exists() and not marker.exists() and (not folder.is_dir() or any(folder.iterdir())):
        return False
    folder.mkdir(parents=True, exist_ok=True)
    marker.write_text("The demo of streamq made this folder and empties it when it runs again.\n")
    return True


def show(console: Console, folder: Path, url: str) -> bool:
    """Everything between the start and the end of the server; whether all went as it should."""
    tell = partial(console.print, soft_wrap=True)
    tell(
        "About 650 jobs on pictures and texts: some fail, one kills its worker process, one waits, one is cancelled.\n"
        "At the end every one of them is accounted for. It takes about ten seconds.\n"
    )
    tell(f"server   {url}")
    files = make_files(folder)
    tell(f"files    {len(files.pictures)} pictures and {len(files.texts)} texts in {folder}")
    start = time.monotonic()
    work = put_in(files)
    tell(f"jobs     {work.count} put in within {time.monotonic() - start:.2f} s")
    with workers(folder) as process:
        tell(f"workers  {WORKERS} processes, their log is {folder / 'workers.log'}\n")
        log = WorkersLog(folder / "workers.log")
        end = watch(console, lambda: look_at_workers(process, log, tell), seconds=PATIENCE)
        sheet = contact_sheet.enqueue(sheet_of(files), str(files.made))
        tell(f"\none more, whose result is awaited: {sheet.result(timeout=20)}\n")
    tell(f"{end.ended} jobs ended within {end.seconds:.1f} s, {end.rate:.0f} a second\n")
    return show_report(console, files, work, graceful=process.returncode == 0)


@contextlib.contextmanager
def own_server(folder: Path) -> Iterator[str]:
    """An embedded server with no data of earlier runs, stopped at the end; its URL."""
    embedded.stop(app.config)
    shutil.rmtree(folder / "server", ignore_errors=True)
    try:
        yield embedded.start(app.config).url
    finally:
        app.close()
        embedded.stop(app.config)


@contextlib.contextmanager
def workers(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """``streamq work jobs``, stopped at the end as one stops it: by SIGTERM."""
    command = [
        sys.executable,
        "-m",
        "streamq.cli",
        "work",
        "jobs",
        "--workers",
        str(WORKERS),
        "--concurrency",
        "10",
        "--log",
        "json",
    ]
    with (folder / "workers.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=Path(__file__).parent, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(20)


def look_at_workers(process: subprocess.Popen[bytes], log: WorkersLog, tell: Callable[[str], None]) -> None:
    """Say which processes died. Raises DemoFailed with the end of the log when all of the workers are gone."""
    for death in log.deaths():
        tell(f"[yellow]{death}[/]")
    if process.poll() is not None:
        raise DemoFailed(f"the workers ended with {process.returncode}:\n{log.end()}")


if __name__ == "__main__":
    sys.exit(main())
