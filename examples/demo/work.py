"""What the demo asks for: each way of putting a job in, once or many times."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from files import Files
from jobs import app, checksum, count_words, decode_legacy_format, remind, thumbnail

from streamq import Job, Unique

WIDTHS = (60, 120, 240)
DELAY = 3  # seconds


@dataclass(frozen=True, slots=True)
class Work:
    """The jobs that were put in, by what is expected of them."""

    thumbnails: list[Job[str]]
    checksums: list[Job[str]]
    words: list[Job[None]]
    damaged: list[Job[str]]
    crash: Job[str]
    delayed: Job[None]
    cancelled: Job[None]
    unique: set[Job[str]]

    @property
    def count(self) -> int:
        """How many jobs that are."""
        many = (*self.thumbnails, *self.checksums, *self.words, *self.damaged, *self.unique)
        return len((*many, self.crash, self.delayed, self.cancelled))


def put_in(files: Files) -> Work:
    """Most in bulk, some one by one with options."""
    made = str(files.made)
    thumbnails = [thumbnail.call(str(picture), made, width) for picture in files.pictures for width in WIDTHS]
    damaged = [thumbnail.call(str(picture), made) for picture in files.damaged]
    checksums = [checksum.call(str(path)) for path in (*files.pictures, *files.texts)]
    words = [count_words.call(str(path), made) for path in files.texts]

    once = checksum.using(unique=Unique(by="path"))
    same = str(files.texts[0])
    cancelled = remind.using(delay="1h").enqueue("never", made)
    cancelled.cancel()
    return Work(
        thumbnails=app.enqueue_many(thumbnails),
        damaged=app.enqueue_many(damaged),
        checksums=app.enqueue_many(checksums),
        words=app.enqueue_many(words),
        crash=decode_legacy_format.enqueue(
            str(files.pictures[0])
        ),  # kills its process; must harm no other job
        delayed=remind.using(delay=DELAY, priority="high").enqueue("later", made),
        unique={once.enqueue(same), once.enqueue(same), once.enqueue(same)},  # one job, asked for three times
        cancelled=cancelled,
    )


def sheet_of(files: Files) -> list[str]:
    """The thumbnails that the contact sheet is made of."""
    return [str(thumbnail_of(files, picture, WIDTHS[0])) for picture in files.pictures]


def thumbnail_of(files: Files, picture: Path, width: int) -> Path:
    """Where the thumbnail of a picture is to be found."""
    return files.made / f"{picture.stem}-{width}.png"
