"""The lines of an HTTP/1.1 request, read more strictly than RFC 9112 requires and h11 reads them.

A proxy in front of us may read the same bytes in another way. Then the two disagree about where a request ends (request
smuggling). h11 still decides what each line means, and `protocol` answers.
"""

from __future__ import annotations

import re

import h11

# h11 has no public way to see the bytes before it normalises them. pyproject.toml caps its version (docs/adr/0019), and
# tests/integration/api/test_smuggling.py tries each case.
from h11._receivebuffer import ReceiveBuffer

_MAX_CHUNK_LINE = 256  # bytes; extensions after a chunk's size are allowed and ignored
# The first of two things: the blank line that ends a head, or something that a head must not contain (a folded line, a
# lone carriage return or line feed, any control character except the tab).
_NOTABLE = re.compile(rb"\r\n\r\n|\r\n[ \t]|\r[^\n]|(?<!\r)\n|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_BLANK_LINE = b"\r\n\r\n"
_LENGTH_NAME = b"content-length"
_LENGTH = re.compile(rb"[ \t]*[0-9]{1,20}[ \t]*")
_CHUNK_LINE = re.compile(rb"[0-9A-Fa-f]{1,16}(?:;[\x20-\x7e]*)?\r\n")


class StrictLines(ReceiveBuffer):
    """h11's buffer of received bytes. It raises `LocalProtocolError`, which h11 treats as a broken request."""

    def maybe_extract_lines(self) -> list[bytearray] | None:
        """The lines of a head, or the trailer after the last chunk; None until the blank line has arrived."""
        if self._data[:2] == b"\r\n":
            self._extract(2)
            return []
        found = _NOTABLE.search(self._data, self._multiple_lines_search)
        if found is None:
            self._multiple_lines_search = max(0, len(self._data) - len(_BLANK_LINE) + 1)
            return None
        if found.group() != _BLANK_LINE:
            raise h11.LocalProtocolError("a line is folded, badly ended, or contains a control character")
        lines = self._extract(found.end())[: -len(_BLANK_LINE)].split(b"\r\n")
        lengths = [value for name, _, value in (line.partition(b":") for line in lines) if name.lower() == _LENGTH_NAME]
        if len(lengths) > 1 or not all(map(_LENGTH.fullmatch, lengths)):
            raise h11.LocalProtocolError("the length is repeated or no number")
        return lines

    def maybe_extract_next_line(self) -> bytearray | None:
        """The line before a chunk; None until its end has arrived."""
        line = super().maybe_extract_next_line()
        if len(self if line is None else line) > _MAX_CHUNK_LINE or (line and not _CHUNK_LINE.fullmatch(line)):
            raise h11.LocalProtocolError("a chunk's size is badly written or its line is too long")
        return line
