"""What a base of the mini can draw, as data that goes with its weights: `known.json` (`onbrand.packs.known`).

    python -m models.mini.recipe.known models/mini

The file names the things, other words for each, and which of them is nearest to a word that isn't known, by the text
encoder's own embedding. It is computed here once, so that whoever asks needs no model.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from models.mini.recipe.concepts import read_concepts
from models.mini.recipe.text import Text
from onbrand.packs.known import KNOWN, parse_known

NEAREST = 3
_LEAST_ALIKE = 0.52  # a cosine; below it, suggestions are far-fetched: tree and crown 0.46, coin and bottle 0.51
_AT_ONCE = 2048
_WORD = re.compile(r"[a-z]{3,16}")


def main() -> None:
    """Write `known.json` into a base's folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", type=Path)
    parser.add_argument("--things", type=Path, help="a file with a thing a line; default: all of concepts.txt")
    parser.add_argument("--most", type=int, help="how many things one picture can hold; default: any number")
    arguments = parser.parse_args()
    names = None if arguments.things is None else arguments.things.read_text("utf-8").splitlines()
    write_known(arguments.base, things(names), arguments.most)


def things(names: Sequence[str] | None) -> dict[str, list[str]]:
    """Each thing with other words for it. A name that isn't a concept's takes the words of the concept it is one of."""
    concepts = read_concepts()
    if names is None:
        return {concept.name: list(concept.synonyms) for concept in concepts}
    found: dict[str, list[str]] = {}
    for name in filter(None, names):
        same = next((one for one in concepts if name == one.name), None)
        same = same or next((one for one in concepts if name in one.synonyms), None)
        words = [] if same is None else [word for word in (same.name, *same.synonyms) if word != name]
        found[name] = words
    return found


def write_known(folder: Path, known: Mapping[str, Sequence[str]], most: int | None) -> None:
    """Write the file, and read it back as the product does."""
    near = _nearest(folder, known)
    document = {
        "schema": 1,
        "most_things": most,
        "things": [{"name": name, "words": list(words)} for name, words in known.items()],
        "near": near,
    }
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), sort_keys=True) + "\n"
    parse_known(text.encode())
    (folder / KNOWN).write_text(text, "utf-8")


def _nearest(folder: Path, known: Mapping[str, Sequence[str]]) -> dict[str, list[int]]:
    """For each whole word of the encoder's vocabulary that isn't known: the things nearest to it, the nearest first."""
    text = Text.load(folder / "text_encoder")
    spoken = {word for name, words in known.items() for word in (name, *words)}
    words = sorted(word for word in text.tokenizer.get_vocab() if _WORD.fullmatch(word) and word not in spoken)
    alike = _directions(text, words) @ _directions(text, list(known)).T
    near: dict[str, list[int]] = {}
    for word, row in zip(words, alike, strict=True):
        best = np.argsort(-row, kind="stable")[:NEAREST]
        if kept := [int(index) for index in best if row[index] >= _LEAST_ALIKE]:
            near[word] = kept
    return near


def _directions(text: Text, captions: Sequence[str]) -> np.ndarray:
    """(N, 384) of length 1: the texts as the mini's transformer reads them as a whole."""
    parts = [text.embed(captions[start : start + _AT_ONCE])[1] for start in range(0, len(captions), _AT_ONCE)]
    pooled = np.concatenate(parts).astype(np.float32)
    directions: np.ndarray = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    return directions


if __name__ == "__main__":
    main()
