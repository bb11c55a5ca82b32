"""How a surface describes itself: the words for OpenAPI, and the readable page made of the same description."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from starlette.responses import HTMLResponse

_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"
_CSP = "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_WORDS: dict[str, dict[str, Any]] = {
    "text": {"type": "string"},
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "flag": {"type": "boolean"},
    "object": {"type": "object"},
    "list": {"type": "array", "items": {"type": "object"}},
    "texts": {"type": "array", "items": {"type": "string"}},
}


def shape(**fields: str) -> dict[str, Any]:
    """A JSON object in OpenAPI's words; `text?` is text or null."""
    return {
        "type": "object",
        "required": list(fields),
        "properties": {name: _schema(word) for name, word in fields.items()},
    }


def _schema(word: str) -> dict[str, Any]:
    schema = dict(_WORDS[word.rstrip("?")])
    if word.endswith("?"):
        schema["type"] = [schema["type"], "null"]
    return schema


ERROR = shape(code="integer", message="text", more_info="text", status="integer")
ERRORS: dict[int | str, dict[str, Any]] = {
    "default": {"description": "Refused, in Twilio's shape", "content": {_JSON: {"schema": ERROR}}}
}


def answers(status: int, says: str, body: Mapping[str, Any] | None = None) -> dict[int | str, dict[str, Any]]:
    """The `responses` of an operation that answers JSON of this shape, or nothing."""
    content = {"content": {_JSON: {"schema": body}}} if body is not None else {}
    return {status: {"description": says, **content}}


def page_of(key: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """The v1 list of rows of this shape."""
    paging = shape(
        page="integer",
        page_size="integer",
        first_page_url="text",
        previous_page_url="text?",
        url="text",
        next_page_url="text?",
        key="text",
    )
    return {"type": "object", "required": [key, "meta"], "properties": {key: _rows(row), "meta": paging}}


def page_of_2010(key: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """The 2010 list of rows of this shape."""
    envelope = shape(
        first_page_uri="text",
        next_page_uri="text?",
        previous_page_uri="text?",
        uri="text",
        page="integer",
        page_size="integer",
        start="integer",
        end="integer",
    )
    envelope["properties"][key] = _rows(row)
    envelope["required"].append(key)
    return envelope


def _rows(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": row}


def takes(fields: Mapping[str, str], *, required: Sequence[str] = (), json: bool = False) -> dict[str, Any]:
    """The request body of an operation: its parameters by their wire names."""
    schema = shape(**fields) | {"required": list(required)}
    content = {_FORM: {"schema": schema}} | ({_JSON: {"schema": schema}} if json else {})
    return {"requestBody": {"required": bool(required), "content": content}}


def asks(**parameters: str) -> dict[str, Any]:
    """The query parameters of an operation by their wire names."""
    return {"parameters": [_parameter(name, word) for name, word in parameters.items()]}


PAGING = {"PageSize": "integer", "Page": "integer", "PageToken": "text"}


def _parameter(name: str, word: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": _schema(word)}


def plain_operation(
    summary: str, *, says: str, status: int = 200, content: Mapping[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    """An operation of a route that FastAPI does not see: the streaming ones."""
    return {
        "summary": summary,
        "responses": {str(status): {"description": says, **({"content": content} if content else {})}, **ERRORS},
        **more,
    }


_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b2733}"
    "h1{font-size:1.5rem}h2{font-size:1rem;margin:2rem 0 .25rem;font-family:ui-monospace,monospace}"
    "b{color:#0b6e4f}td,th{text-align:left;padding:.1rem 1rem .1rem 0;vertical-align:top}code{font-size:.9em}"
)


def readable(description: Mapping[str, Any], openapi_url: str) -> HTMLResponse:
    """The description as a page: no script, nothing from elsewhere."""
    info = description["info"]
    parts = [f"<p>{escape(info['description'])}</p>", f"<p><a href='{openapi_url}'>openapi.json</a></p>"]
    for path, methods in sorted(description["paths"].items()):
        for method, operation in methods.items():
            parts.append(_operation(method, path, operation))
    return page(f"{info['title']} {info['version']}", "".join(parts))


def page(title: str, body: str) -> HTMLResponse:
    """A page of ours under a strict policy; `body` is markup already."""
    text = (
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{escape(title)}</title><style>{_STYLE}</style><h1>{escape(title)}</h1>{body}</html>"
    )
    return HTMLResponse(text, headers={"content-security-policy": _CSP.format(_style_digest())})


def _style_digest() -> str:
    return base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    names = [(p["name"], p["in"]) for p in operation.get("parameters", ()) if p["in"] != "path"]
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        needed = content["schema"].get("required", ())
        names = names or [
            (f"{name}{' (required)' if name in needed else ''}", kind)
            for name in content["schema"].get("properties", ())
        ]
    rows = "".join(f"<tr><td><code>{escape(name)}</code><td>{escape(where)}" for name, where in names)
    says = "; ".join(f"{code}: {escape(r['description'])}" for code, r in operation.get("responses", {}).items())
    return (
        f"<h2><b>{method.upper()}</b> {escape(path)}</h2><p>{escape(operation.get('summary', ''))}</p>"
        f"<table>{rows}</table><p>{says}</p>"
    )
