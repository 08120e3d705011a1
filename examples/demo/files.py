"""The folder of the demo: pictures and texts to work on, made anew for each run. Some of the pictures are damaged."""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from pictures import Picture

PICTURES, DAMAGED, TEXTS = 60, 3, 200
WIDTH, HEIGHT = 480, 360
WORDS = (
    "queue",
    "job",
    "worker",
    "stream",
    "lease",
    "fence",
    "retry",
    "delay",
    "level",
    "entry",
    "clock",
    "record",
)


@dataclass(frozen=True, slots=True)
class Files:
    """What lies in the folder."""

    folder: Path
    pictures: list[Path]
    damaged: list[Path]
    texts: list[Path]

    @property
    def made(self) -> Path:
        """Where jobs put what they make."""
        return self.folder / "made"


def make_files(folder: Path) -> Files:
    """Empty the folder's parts of an earlier run and fill them again; always with the same files."""
    chance = random.Random(7)
    for part in ("pictures", "texts", "made"):
        shutil.rmtree(folder / part, ignore_errors=True)
        (folder / part).mkdir(parents=True)
    pictures = [_picture(folder / "pictures" / f"view-{n:02}.ppm", chance) for n in range(PICTURES)]
    damaged = [_damaged(folder / "pictures" / f"damaged-{n}.ppm", pictures[n]) for n in range(DAMAGED)]
    texts = [_text(folder / "texts" / f"letter-{n:03}.txt", chance) for n in range(TEXTS)]
    return Files(folder, pictures, damaged, texts)


def _picture(path: Path, chance: random.Random) -> Path:
    """Bands of colour that wander from row to row."""
    start, steps = chance.randbytes(3), [chance.randrange(3) for _ in range(3)]
    colours = [bytes((start[i] + x * steps[i] // 2) % 256 for i in range(3)) for x in range(WIDTH + HEIGHT)]
    band = b"".join(colours)
    shifts = accumulate(
        (chance.choice((0, 0, 1, 2)) for _ in range(HEIGHT)), lambda at, by: min(at + by, HEIGHT)
    )
    Picture(WIDTH, [band[3 * shift : 3 * (shift + WIDTH)] for shift in shifts]).write_ppm(path)
    return path


def _damaged(path: Path, whole: Path) -> Path:
    data = whole.read_bytes()
    path.write_bytes(data[: len(data) // 3])
    return path


def _text(path: Path, chance: random.Random) -> Path:
    path.write_text(" ".join(chance.choices(WORDS, k=chance.randrange(200, 2_000))))
    return path
