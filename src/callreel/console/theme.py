"""Light, dark, or as the system has it: a choice of the browser's, kept in a cookie."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from callreel.console.cookies import cookie
from callreel.console.pages import THEMES
from callreel.console.visit import THEME, Visit, back, own_path, screen
from callreel.model.person import Right

YEAR_S = 365 * 86400


@screen(Right.LIST)
async def theme(visit: Visit) -> Response:
    """Keep the choice and go back to the page it was made on."""
    chosen = visit.form["theme"]
    answer = back(visit, own_path(visit.form["next"]))
    if chosen in THEMES:
        kept = cookie(THEME, chosen, visit.parts.public_url, max_age_s=YEAR_S)
        answer.headers.append("set-cookie", kept.decode("latin-1"))
    return answer


ROUTES = (Route("/theme", theme, methods=["POST"]),)
