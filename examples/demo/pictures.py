"""Pictures with nothing but the standard library: enough of PPM and PNG for the demo's jobs to do real work."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_PNG = b"\x89PNG\r\n\x1a\n"
_RGB_8_BITS = b"\x08\x02\x00\x00\x00"


@dataclass(frozen=True, slots=True)
class Picture:
    """Rows of pixels, three bytes each: red, green, blue."""

    width: int
    rows: Sequence[bytes]

    @classmethod
    def read_ppm(cls, path: Path) -> Picture:
        """A binary PPM. Raises ValueError when it is none, or damaged."""
        data = path.read_bytes()
        header = re.match(rb"P6\s+(\d+)\s+(\d+)\s+255\s", data)
        if not header:
            raise ValueError(f"{path.name} is no PPM with 8 bits a colour")
        width, height, pixels = int(header[1]), int(header[2]), data[header.end() :]
        stride, size = 3 * width, 3 * width * height
        if len(pixels) != size:
            raise ValueError(
                f"{path.name} is damaged: {len(pixels):,} bytes of pixels where {size:,} are due"
            )
        return cls(width, [pixels[at : at + stride] for at in range(0, size, stride)])

    @classmethod
    def read_png(cls, path: Path) -> Picture:
        """A PNG as ``write_png`` makes them."""
        header, *rest = _chunks(path.read_bytes())
        width, stride = int.from_bytes(header[1][:4], "big"), 3 * int.from_bytes(header[1][:4], "big") + 1
        packed = b"".join(content for kind, content in rest if kind == b"IDAT")
        lines = zlib.decompress(packed)
        return cls(width, [lines[at + 1 : at + stride] for at in range(0, len(lines), stride)])

    @classmethod
    def beside(cls, pictures: Sequence[Picture]) -> Picture:
        """Pictures of one height in a row."""
        rows = [b"".join(parts) for parts in zip(*(picture.rows for picture in pictures), strict=True)]
        return cls(sum(picture.width for picture in pictures), rows)

    @classmethod
    def above(cls, pictures: Sequence[Picture]) -> Picture:
        """Pictures one above the other; narrow ones are filled up with white."""
        width = max(picture.width for picture in pictures)
        return cls(width, [row.ljust(3 * width, b"\xff") for picture in pictures for row in picture.rows])

    def shrunk_to(self, width: int) -> Picture:
        """The same picture with ``width`` pixels a row: each is the mean of a square of the old ones."""
        step = max(1, self.width // width)
        bands = [self.rows[at : at + step] for at in range(0, len(self.rows) - step + 1, step)]
        return Picture(self.width // step, [_mean_row(band, step) for band in bands])

    def write_ppm(self, path: Path) -> None:
        """Save it as a binary PPM."""
        path.write_bytes(b"P6 %d %d 255\n" % (self.width, len(self.rows)) + b"".join(self.rows))

    def write_png(self, path: Path) -> None:
        """Save it as a PNG that any viewer shows. Writing it twice does no harm, so the job may run twice."""
        header = struct.pack(">II", self.width, len(self.rows)) + _RGB_8_BITS
        lines = zlib.compress(b"".join(b"\0" + row for row in self.rows))
        chunks = ((b"IHDR", header), (b"IDAT", lines), (b"IEND", b""))
        path.write_bytes(_PNG + b"".join(_chunk(kind, content) for kind, content in chunks))


def _mean_row(band: Sequence[bytes], step: int) -> bytes:
    row = bytearray(len(band[0]) // (3 * step) * 3)
    for colour in range(3):
        sums = [sum(column) for column in zip(*(line[colour::3] for line in band), strict=True)]
        row[colour::3] = bytes(
            sum(sums[at : at + step]) // step**2 for at in range(0, len(row) // 3 * step, step)
        )
    return bytes(row)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(_PNG)
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        at += size + 12
