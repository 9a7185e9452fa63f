"""Time limits: no check can hang, and a check that fails with an error is reported like any other problem."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from onbrand.doctor.report import Findings, Verdict, problem, skipped
from onbrand.errors import OnbrandError


async def guarded(seconds: float, look: Callable[[], Awaitable[Verdict]]) -> Verdict:
    """What `look` finds. A timeout or an error becomes a problem; our own errors say what to do."""
    try:
        async with asyncio.timeout(seconds):
            return await look()
    except TimeoutError:
        return problem(
            f"No answer within {seconds:g} seconds.",
            "Something that this check asks does not answer: check that first.",
        )
    except OnbrandError as error:
        return problem(error.message)
    except Exception as error:  # its text can quote an address with a password, so only its class is shown
        return problem(
            f"The check itself failed ({type(error).__name__}).", "This is a mistake in Onbrand: please report it."
        )


async def guarded_together(checks: Sequence[str], seconds: float, look: Callable[[], Awaitable[Findings]]) -> Findings:
    """As `guarded`, for one look that serves several checks. An error is told by the first; the others are skipped."""
    found: dict[str, Verdict] = {}

    async def first() -> Verdict:
        found.update(await look())
        return found[checks[0]]

    told = await guarded(seconds, first)
    others = dict.fromkeys(checks, skipped(f"Not known: see {checks[0]}."))
    return others | found | {checks[0]: told}
