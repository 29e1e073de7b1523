"""Requests to other systems over HTTP, where a rule of the deployment allows them
(`allowed_hosts` in handler.toml, or `--allow-host`).

What they do can't be undone: if the bot fails afterwards, the request has been made all the
same, and if the host ends before the call's effects are durable, the event comes again and
with it the request. Redirects are not followed: the response is the 3xx. Codes of failure are
"denied", "bad-request", "unreachable", "timeout", "too-large" and "too-many".
"""

import json
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple, Union

from wit_world.imports import web as host

from .errors import checked

_fetch = checked("web.fetch", host.fetch)


@dataclass
class Response:
    """What was answered, whatever its status."""

    #: The HTTP status.
    status: int
    #: Names, in lower case, and values, in order.
    headers: List[Tuple[str, str]]
    #: The whole body as it was sent.
    body: bytes

    def is_success(self) -> bool:
        """Whether the status is from 200 to 299."""
        return 200 <= self.status < 300

    def header(self, name: str) -> Optional[str]:
        """The first header of this name."""
        return next((value for it, value in self.headers if it == name.lower()), None)

    def text(self) -> str:
        """The body as text; what is none is replaced by U+FFFD."""
        return self.body.decode(errors="replace")

    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


def fetch(
    method: str,
    url: str,
    body: Union[str, bytes] = b"",
    headers: Optional[Dict[str, str]] = None,
    timeout_ms: Optional[int] = None,
) -> Response:
    """Asks, and waits for the whole answer."""
    raw = body.encode() if isinstance(body, str) else body
    request = host.Request(method, url, list((headers or {}).items()), raw, timeout_ms)
    answer = _fetch(request)
    return Response(answer.status, answer.headers, answer.body)


def get(
    url: str, headers: Optional[Dict[str, str]] = None, timeout_ms: Optional[int] = None
) -> Response:
    """Asks for what is there."""
    return fetch("GET", url, b"", headers, timeout_ms)


def post(
    url: str,
    body: Union[str, bytes],
    headers: Optional[Dict[str, str]] = None,
    timeout_ms: Optional[int] = None,
) -> Response:
    """Hands something over."""
    return fetch("POST", url, body, headers, timeout_ms)
