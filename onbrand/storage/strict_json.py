"""JSON that every reader understands in the same way, for documents that somebody else wrote.

`json.loads` takes the last of two equal keys, and NaN and Infinity. Another parser may take the first key, or refuse
the document, and then two programs see two different documents. The bodies of requests, tokens and the headers of
weight files are read here.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn


class Ambiguous(ValueError):
    """It is JSON, but a key occurs twice, or a number is NaN or Infinity."""


def loads(text: str) -> Any:
    """The value of one JSON document.

    Raises:
        Ambiguous: two readers could understand it differently.
        ValueError: it is not JSON.
        RecursionError: it is nested too deeply.
    """
    return json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Ambiguous("a key occurs twice")
    return fields


def _refuse_constant(_name: str) -> NoReturn:
    raise Ambiguous("NaN and Infinity are not JSON")
