"""The jobs of the demo: what a user writes. ``streamq work jobs`` in this folder runs them.

A task is a function with annotations. A sync one runs in a thread of the worker, an async one on its event loop. What
is not said here has a default: priority 5, 5 attempts with growing pauses, 300 s at most.
"""

from __future__ import annotations

import asyncio
import ctypes
import hashlib
import json
import re
from collections import Counter
from pathlib import Path

from pictures import Picture

from streamq import App, Backoff, Context

app = App(namespace="demo")


@app.task(queue="pictures", attempts=3, backoff=Backoff(first=0.5))
def thumbnail(picture: str, into: str, width: int = 60) -> str:
    """Shrink a picture. A damaged one raises, is tried three times, and becomes a dead letter."""
    small = Picture.read_ppm(Path(picture)).shrunk_to(width)
    target = Path(into) / f"{Path(picture).stem}-{width}.png"
    small.write_png(target)
    return str(target)


@app.task(queue="texts", result_ttl="10m")  # kept for ten minutes, for whoever asks later
def checksum(path: str) -> str:
    """The SHA-256 of a file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


@app.task(queue="texts")
async def count_words(path: str, into: str) -> None:
    """Write down how often each word stands in a text."""
    text = await asyncio.to_thread(Path(path).read_text)
    counts = Counter(re.findall(r"\w+", text.lower()))
    await asyncio.to_thread((Path(into) / f"{Path(path).stem}.json").write_text, json.dumps(counts))


@app.task(queue="pictures")
def contact_sheet(ctx: Context, thumbnails: list[str], into: str) -> str:
    """One large picture of many small ones. ``ctx`` comes from the worker; here it tells how far the job is."""
    rows: list[Picture] = []
    for start in range(0, len(thumbnails), 10):
        ctx.progress(start / len(thumbnails), f"row {len(rows) + 1}")
        rows.append(Picture.beside([Picture.read_png(Path(name)) for name in thumbnails[start : start + 10]]))
    target = Path(into) / "contact-sheet.png"
    Picture.above(rows).write_png(target)
    return str(target)


@app.task(queue="pictures")
def decode_legacy_format(path: str) -> str:
    """A decoder that reads address 0: it takes its whole process down, whatever else runs in it."""
    return ctypes.string_at(0).decode() + path


@app.task(queue="texts")
async def remind(text: str, into: str) -> None:
    """Leaves a note; the demo puts it in with a delay."""
    await asyncio.to_thread((Path(into) / "note.txt").write_text, text)
