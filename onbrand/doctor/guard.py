"""Bounded patience: no check hangs, and one that breaks is a finding like any other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from onbrand.doctor.report import Findings, Verdict, problem, skipped
from onbrand.errors import OnbrandError


async def guarded(seconds: float, look: Callable[[], Awaitable[Verdict]]) -> Verdict:
    """What `look` finds, unless it takes longer or breaks. Our own errors already say what to do."""
    try:
        async with asyncio.timeout(seconds):
            return await look()
    except TimeoutError:
        return problem(f"No answer within {seconds:g} seconds.", "Something this check asks hangs; look at it first.")
    except OnbrandError as error:
        return problem(error.message)
    except Exception as error:  # its text may quote an address with a password in it, so only its kind is told
        return problem(
            f"The check itself failed ({type(error).__name__}).", "Report this: no check should, whatever it meets."
        )


async def guarded_together(checks: Sequence[str], seconds: float, look: Callable[[], Awaitable[Findings]]) -> Findings:
    """The same for a look that serves several checks: what went wrong is told by the first, the others are skipped."""
    found: dict[str, Verdict] = {}

    async def first() -> Verdict:
        found.update(await look())
        return found[checks[0]]

    told = await guarded(seconds, first)
    others = dict.fromkeys(checks, skipped(f"Not known: see {checks[0]}."))
    return others | found | {checks[0]: told}
