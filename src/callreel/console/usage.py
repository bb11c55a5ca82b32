"""Usage: what the account keeps here and in its bucket, what that costs, and what lifecycle rules would save."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from callreel.console.pages import page
from callreel.console.visit import Visit, screen
from callreel.model.person import Right
from callreel.model.storage_cost import by_class, of_bucket, with_lifecycle
from callreel.model.usage import AGES_DAYS

AGES = (f"Up to {AGES_DAYS[0]} days", f"{AGES_DAYS[0] + 1} to {AGES_DAYS[1]} days", "Older")


@screen(Right.STORAGE)
async def usage(visit: Visit) -> Response:
    """The page. Sums are a minute old at most, and say when they were taken."""
    found = await visit.parts.ledger.usage.of(visit.account.sid)
    prices = visit.parts.chosen.prices
    outside = found.of(is_external=True)
    return page(
        visit,
        "usage.html",
        found=found,
        places=[
            ("Kept here", "In service storage, on this server", found.of(is_external=False)),
            ("In your bucket", "Proved there; no copy is kept here", outside),
        ],
        minutes=sum(row.duration_ms for row in found.rows) // 60_000,
        cost_there=prices.at_source(sum(row.duration_ms for row in found.rows) / 60_000),
        cost_bucket=of_bucket(outside, prices),
        classes=by_class(found.rows, prices),
        lifecycle=with_lifecycle(found.rows, prices),
        prices=prices,
        ages=AGES,
    )


ROUTES = (Route("/usage", usage, methods=["GET"]),)
