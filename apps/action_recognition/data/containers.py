"""Whether a video file ends before its container says so: a download or a copy that broke off.

FFmpeg plays what is there and says nothing, so the sizes that containers state at their beginning are read here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO

MP4_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"moof", b"styp", b"sidx"}
EBML_HEADER = 0x1A45DFA3
MATROSKA_SEGMENT = 0x18538067


def missing_bytes(path: str | os.PathLike) -> int:
    """Bytes by which a file is shorter than its container states: 0 if it is whole, or states nothing.

    MP4 and QuickTime (sizes of the top-level boxes), AVI (sizes of its RIFF chunks), Matroska and WebM (size of the
    segment) are understood; of anything else nothing is known.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        head = file.read(12)
        if head[4:8] in MP4_BOXES:
            ends = _box_ends(file, size)
        elif head[:4] == b"RIFF" and head[8:12] == b"AVI ":
            ends = _riff_ends(file, size)
        elif head[:4] == EBML_HEADER.to_bytes(4, "big"):
            ends = _segment_end(file)
        else:
            return 0
        return max(0, max(ends, default=0) - size)


def _box_ends(file: BinaryIO, size: int) -> Iterator[int]:
    place = 0
    while place + 8 <= size:
        file.seek(place)
        header = file.read(16)
        length = int.from_bytes(header[:4], "big")
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        # 0 means "to the end of the file"; below 8 is no box, and what follows cannot be found.
        if length < 8:
            return
        place += length
        yield place


def _riff_ends(file: BinaryIO, size: int) -> Iterator[int]:
    place = 0
    while place + 8 <= size:
        file.seek(place)
        header = file.read(8)
        # Files above 1 GiB go on in further RIFF chunks; what else stands behind is padding.
        if header[:4] != b"RIFF":
            return
        place += 8 + int.from_bytes(header[4:], "little")
        yield place


def _segment_end(file: BinaryIO) -> Iterator[int]:
    file.seek(0)
    for element in (EBML_HEADER, MATROSKA_SEGMENT):
        if int.from_bytes(file.read(4), "big") != element:
            return
        first = file.read(1)
        if not first or not first[0]:
            return
        # The leading zeros of the first byte count the bytes that follow it; all ones is "unknown".
        more = 8 - first[0].bit_length()
        length = int.from_bytes(first + file.read(more), "big") & ((1 << 7 * (more + 1)) - 1)
        if length == (1 << 7 * (more + 1)) - 1:
            return
        end = file.tell() + length
        if element == EBML_HEADER:
            file.seek(end)
        else:
            yield end
