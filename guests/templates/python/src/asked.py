"""What people want. Needs no host, so that a test can call it."""

from typing import Optional


def asked(text: str) -> Optional[str]:
    """Which of the two it is, if any: greeting or ping."""
    return {"hello": "greeting", "ping": "ping"}.get(text.strip().lower())
