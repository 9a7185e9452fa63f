"""The lines of an HTTP/1.1 request, read without the leniency that RFC 9112 allows and h11 grants.

A proxy before us may read the same bytes otherwise, and then two parties disagree about where a request ends (request
smuggling). What each line means is h11's; nothing here answers.
"""

from __future__ import annotations

import re

import h11

# h11 offers no other place to see the bytes before it has tidied them. The version is pinned, and each case is tested.
from h11._receivebuffer import ReceiveBuffer

_MAX_CHUNK_LINE = 256  # bytes; what stands behind a chunk's size means nothing to anybody here
# Whatever comes first: the blank line that ends a head, or what has no place in one (a folded line, a carriage return
# or a line feed by itself, any other control character but the tab).
_NOTABLE = re.compile(rb"\r\n\r\n|\r\n[ \t]|\r[^\n]|(?<!\r)\n|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_BLANK_LINE = b"\r\n\r\n"
_LENGTH_NAME = b"content-length"
_LENGTH = re.compile(rb"[ \t]*[0-9]{1,20}[ \t]*")
_CHUNK_LINE = re.compile(rb"[0-9A-Fa-f]{1,16}(?:;[\x20-\x7e]*)?\r\n")


class StrictLines(ReceiveBuffer):
    """h11's buffer of what has arrived; it raises what h11 takes for a broken request."""

    def maybe_extract_lines(self) -> list[bytearray] | None:
        """The lines of a head, or of what follows the last chunk; None while the blank line is still to come."""
        if self._data[:2] == b"\r\n":
            self._extract(2)
            return []
        found = _NOTABLE.search(self._data, self._multiple_lines_search)
        if found is None:
            self._multiple_lines_search = max(0, len(self._data) - len(_BLANK_LINE) + 1)
            return None
        if found.group() != _BLANK_LINE:
            raise h11.LocalProtocolError("a line is folded, badly ended, or holds a control character")
        lines = self._extract(found.end())[: -len(_BLANK_LINE)].split(b"\r\n")
        lengths = [value for name, _, value in (line.partition(b":") for line in lines) if name.lower() == _LENGTH_NAME]
        if len(lengths) > 1 or not all(map(_LENGTH.fullmatch, lengths)):
            raise h11.LocalProtocolError("there is not one length")
        return lines

    def maybe_extract_next_line(self) -> bytearray | None:
        """The line before a chunk; None while its end is still to come."""
        line = super().maybe_extract_next_line()
        if len(self if line is None else line) > _MAX_CHUNK_LINE or (line and not _CHUNK_LINE.fullmatch(line)):
            raise h11.LocalProtocolError("a chunk's size is badly written or its line is too long")
        return line
