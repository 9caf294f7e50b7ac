"""Best-fit packing as anyone would write it first: what harness/packing.py must equal, row by row.

One row at a time, the buffer a list that is walked for every document. No index, no array.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

BUFFER_DOCUMENTS = 1000


def plain_rows(documents: Iterable[list[int]], row_len: int) -> Iterator[list[int]]:
    """Fill rows of `row_len` tokens, each time with the longest buffered document that fits.

    Among equally long ones the first to arrive is taken. If none fits, the shortest is cropped to fill the
    row. A row that stays unfilled at the end is dropped.
    """
    waiting = iter(documents)
    buffer: list[list[int]] = []
    row: list[int] = []
    while True:
        while len(buffer) < BUFFER_DOCUMENTS and (document := next(waiting, None)) is not None:
            buffer.append(document)
        if not buffer:
            return
        free = row_len - len(row)
        best = None
        for index, document in enumerate(buffer):
            if len(document) <= free and (best is None or len(document) > len(buffer[best])):
                best = index
        if best is None:
            best = min(range(len(buffer)), key=lambda index: len(buffer[index]))
        row.extend(buffer.pop(best)[:free])
        if len(row) == row_len:
            yield row
            row = []
