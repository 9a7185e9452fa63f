"""Captions: `NAME.txt` beside `NAME.png`, or one `captions.csv` for all. Each follows the rule for prompts.

The model meets in training what people will type later, so a caption is normalised as a prompt is (`jobs.prompt`).
"""

from __future__ import annotations

import csv
import difflib
import io
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping

from onbrand.dataset.findings import Finding, listed, shown
from onbrand.dataset.folder import CAPTIONS, Contents, Entry, key
from onbrand.errors import PromptBlank, PromptInvalid, PromptTooLong
from onbrand.jobs.prompt import MAX_CODE_POINTS, normalise

_LEAST_CAPTIONS = 10  # with fewer, any word may be in most by chance
_MOST_CAPTIONS = 0.6  # of the captions that have a word: more, and it says nothing of what the picture shows
_LEAST_LETTERS = 4
_SMALL_WORDS = {"with", "from", "that", "this", "their", "into", "over", "under", "mit", "eine", "einer", "einem"}
TOKENS = 128  # what HiDream's encoders read of a prompt and a caption
_MOST_BYTES = 64 * 1024  # of one caption's file
_MOST_TABLE_BYTES = 4 * 1024 * 1024
_WRITE = "Write in a few words what the picture shows, as somebody would ask for it"
_SAVE = "Save it as UTF-8 text"


def read_captions(contents: Contents) -> tuple[dict[str, str], list[Finding]]:
    """The captions of the pictures by the pictures' names, normalised, and the findings. No picture is opened."""
    findings: list[Finding] = []
    said: dict[str, dict[str, str]] = {}  # picture's name: {the caption's file: its text}
    by_stem = {key(picture.stem): picture.name for picture in reversed(contents.pictures)}
    for entry in contents.texts:
        name = by_stem.get(key(entry.stem)) or _by_whole_name(entry.stem, contents.pictures)
        if name is None:
            findings.append(_without_picture(entry.name, entry.stem, contents.pictures))
        elif (text := _text(entry, _MOST_BYTES, findings)) is not None:
            said.setdefault(name, {})[entry.name] = text
        else:
            said.setdefault(name, {})
    if contents.table is not None:
        _read_table(contents.table, contents.pictures, said, findings)
    captions = {}
    for picture in contents.pictures:
        caption = _caption(picture.name, said.get(picture.name), findings)
        if caption is not None:
            captions[picture.name] = caption
    findings.extend(_repeated(captions))
    findings.extend(_style_words(captions))
    return captions, findings


def _by_whole_name(name: str, pictures: Iterable[Entry]) -> str | None:
    """For `mug.png.txt` beside `mug.png`."""
    return next((picture.name for picture in pictures if key(picture.name) == key(name)), None)


def _text(entry: Entry, most_bytes: int, findings: list[Finding]) -> str | None:
    try:
        descriptor = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(most_bytes + 1)
    except OSError as error:
        cause = f"The file can't be read ({error.strerror})."
        findings.append(Finding("file_unreadable", entry.name, cause, "Make it readable, or copy it again."))
        return None
    if len(data) > most_bytes:
        cause = f"It has more than {most_bytes // 1024} kB, so it is no caption."
        findings.append(Finding("caption_unreadable", entry.name, cause, f"{_WRITE}."))
        return None
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        cause = "It is not in UTF-8, so letters such as ä or é can't be read for sure."
        findings.append(Finding("caption_unreadable", entry.name, cause, f"{_SAVE}."))
        return None


def _read_table(table: Entry, pictures: list[Entry], said: dict[str, dict[str, str]], findings: list[Finding]) -> None:
    text = _text(table, _MOST_TABLE_BYTES, findings)
    if text is None:
        return
    first = text.split("\n", 1)[0]
    separator = max(",;\t", key=first.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        head = [cell.strip().casefold() for cell in next(rows, [])]
        if head[:2] != ["name", "caption"]:
            cause = f"The first line of {CAPTIONS} is not “name,caption”."
            remedy = "Make “name,caption” its first line, and write one line for each picture, such as mug.png,a mug."
            findings.append(Finding("caption_unreadable", table.name, cause, remedy))
            return
        for row in rows:
            if any(cell.strip() for cell in row):
                _take_row(table, row, pictures, said, findings)
    except csv.Error:
        cause = f"{CAPTIONS} can't be read near line {rows.line_num}: a quotation mark is missing or too much."
        findings.append(Finding("caption_unreadable", table.name, cause, "Export it again from the spreadsheet."))


def _take_row(
    table: Entry, row: list[str], pictures: list[Entry], said: dict[str, dict[str, str]], findings: list[Finding]
) -> None:
    name = unicodedata.normalize("NFC", row[0].strip())
    caption = row[1] if len(row) > 1 else ""
    by_stem = {key(picture.stem): picture.name for picture in reversed(pictures)}
    picture = _by_whole_name(name, pictures) or by_stem.get(key(name))
    if len(row) > 2 and any(cell.strip() for cell in row[2:]):
        cause = f"The line for “{shown(name)[:60]}” has more than two cells, so its caption may be cut at a comma."
        findings.append(Finding("caption_unreadable", table.name, cause, "Put the caption into quotation marks."))
    elif picture is None:
        findings.append(_without_picture(table.name, name, pictures))
    else:
        place = table.name if table.name not in said.get(picture, {}) else f"{table.name} again"
        said.setdefault(picture, {})[place] = caption


def _without_picture(file: str, name: str, pictures: Iterable[Entry]) -> Finding:
    close = difflib.get_close_matches(key(name), [key(picture.stem) for picture in pictures], 1, 0.7)
    meant = next((picture for picture in pictures if close and key(picture.stem) == close[0]), None)
    what = f"“{shown(name)[:60]}” has a caption, and no picture has that name."
    hint = (
        f"Rename one of them if it is meant for {meant.name}." if meant else "Add the picture, or remove the caption."
    )
    return Finding("caption_without_picture", file, what, hint)


def _caption(name: str, said: Mapping[str, str] | None, findings: list[Finding]) -> str | None:
    if said is None:
        stem = os.path.splitext(name)[0]
        cause = "It has no caption, so the model can't know what it shows."
        findings.append(Finding("caption_missing", name, cause, f"{_WRITE}, in {stem}.txt."))
        return None
    texts = {place: _normalised(text) for place, text in said.items()}
    if not texts:
        return None  # its file can't be read, which is a finding already
    if len(set(texts.values())) > 1:
        cause = f"It has different captions in {listed(sorted(texts))}."
        findings.append(Finding("captions_differ", name, cause, "Keep the right one.", tuple(sorted(texts))))
        return None
    text = next(iter(said.values()))
    kind, cause, remedy = "", "", ""
    try:
        caption = normalise(text)
    except PromptBlank:
        kind, cause, remedy = "caption_empty", "Its caption is empty.", f"{_WRITE}."
    except PromptTooLong:
        cause = f"Its caption has more than {MAX_CODE_POINTS} characters, which is the most that a prompt may have."
        kind, remedy = "caption_too_long", "Say only what the picture shows; the style is learned from the picture."
    except PromptInvalid:
        cause = "Its caption has characters that a prompt may not have, such as control characters."
        kind, remedy = "caption_invalid", "Type the caption anew, or paste it as plain text."
    if kind:
        findings.append(Finding(kind, name, cause, remedy))
        return None
    tokens = about_tokens(caption)
    if tokens > TOKENS:
        cause = f"Its caption has about {tokens} word pieces, and the model reads {TOKENS}. The end would be lost."
        findings.append(Finding("caption_cut", name, cause, "Put what matters first, and shorten the rest."))
    return caption


def _normalised(text: str) -> str:
    try:
        return normalise(text)
    except (PromptBlank, PromptTooLong, PromptInvalid):
        return text


def about_tokens(caption: str) -> int:
    """About how many word pieces a caption has: one for up to eight Latin letters, one for any other letter or sign.

    The encoders' own tokenizers are not here. Against the mini's, English captions come out at 0.84 to 1.18 times the
    true number for eight in ten (measured on 70); on other scripts it is rather too much.
    """
    latin = re.findall(r"[A-Za-zÀ-ɏ]+", caption)
    others = re.sub(r"[A-Za-zÀ-ɏ\s]+", "", caption)
    return sum(-(-len(word) // 8) for word in latin) + len(others)


def _repeated(captions: Mapping[str, str]) -> Iterable[Finding]:
    same: dict[str, list[str]] = {}
    for name, caption in captions.items():
        same.setdefault(caption.casefold(), []).append(name)
    for names in same.values():
        if len(names) > 1:
            cause = f"{listed(names)} have the same caption, so the model can't tell them apart."
            remedy = "Say in each what sets it apart, such as the colour, the number or the view."
            yield Finding("caption_repeated", names[0], cause, remedy, tuple(names[1:]))


def _style_words(captions: Mapping[str, str]) -> Iterable[Finding]:
    """Words that most captions share: the style, which needs no word, or a thing that is in every picture."""
    if len(captions) < _LEAST_CAPTIONS:
        return
    counts = Counter(
        word
        for caption in captions.values()
        for word in set(re.findall(rf"[^\W\d_]{{{_LEAST_LETTERS},}}", caption.casefold())) - _SMALL_WORDS
    )
    shared = [word for word, count in counts.most_common(8) if count > _MOST_CAPTIONS * len(captions)]
    if shared:
        words = listed([f"“{word}”" for word in shared], 8)
        cause = f"Most captions have {words}. What all pictures have in common is learned without a word for it."
        remedy = "Leave out words of the style; say in each caption what this picture shows."
        yield Finding("caption_style", None, cause, remedy)
