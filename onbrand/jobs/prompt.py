"""The prompt rule: what a person may type, how it is normalised and how its length is counted.

The page has the same rule, and the tests of both read `tests/vectors/prompts.json`. Nothing here knows a model.
"""

from __future__ import annotations

import unicodedata

from onbrand.errors import PromptBlank, PromptInvalid, PromptTooLong

MAX_CODE_POINTS = 500
MAX_MARKS_PER_BASE = 8
_LINE_WHITESPACE = str.maketrans(dict.fromkeys("\n\r\t\u2028\u2029", " "))
_MARKS = ("Mn", "Me", "Mc")


def normalise(text: str) -> str:
    """The prompt as it is stored and drawn: NFC, one line, without invisible characters, trimmed.

    Line breaks and tabs become spaces. Format characters (Unicode category Cf: bidi controls, zero-width characters,
    tag characters) are stripped, except the zero-width joiner between two visible characters, which emoji and several
    scripts need. `normalise(normalise(x)) == normalise(x)`.

    Raises:
        PromptInvalid: control characters, lone surrogates, or more than 8 combining marks on one character.
        PromptBlank: nothing visible is left.
        PromptTooLong: more than 500 code points are left.
    """
    text = text.translate(_LINE_WHITESPACE)
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in text):
        raise PromptInvalid
    text = unicodedata.normalize("NFC", _strip_format_characters(text)).strip()
    if not any(unicodedata.category(char)[0] in "LNSP" for char in text):
        raise PromptBlank
    if len(text) > MAX_CODE_POINTS:
        raise PromptTooLong
    if _longest_run_of_marks(text) > MAX_MARKS_PER_BASE:
        raise PromptInvalid
    return text


def _strip_format_characters(text: str) -> str:
    kept: list[str] = []
    visible = [char for char in text if unicodedata.category(char) != "Cf" or char == "\u200d"]
    for index, char in enumerate(visible):
        if char == "\u200d":
            before = kept[-1] if kept else " "
            after = visible[index + 1] if index + 1 < len(visible) else " "
            if before.isspace() or before == char or after.isspace() or after == char:
                continue
        kept.append(char)
    return "".join(kept)


def _longest_run_of_marks(text: str) -> int:
    longest = run = 0
    for char in text:
        run = run + 1 if unicodedata.category(char) in _MARKS else 0
        longest = max(longest, run)
    return longest
