"""The numbers a page does not wait for: they come after it, and again while somebody looks."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from callreel.console.glances import look_of
from callreel.console.pages import page
from callreel.console.visit import Visit, screen
from callreel.model.person import Right


@screen(Right.LIST)
async def glance(visit: Visit) -> Response:
    """Each number, to be put where it stands. Where a page has no such place, it is not shown."""
    seen = look_of(await visit.parts.ledger.glances.of(visit.account.sid))
    return page(visit, "glance.html", look=seen, here=visit.query.text("on"))


ROUTES = (Route("/glance", glance, methods=["GET"]),)
