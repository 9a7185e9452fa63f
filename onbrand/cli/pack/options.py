"""Arguments that several commands of `onbrand pack` share."""

from __future__ import annotations

from typing import Annotated

import typer

PackId = Annotated[str, typer.Argument(metavar="ID", help="The pack's id, or at least its first six digits.")]
