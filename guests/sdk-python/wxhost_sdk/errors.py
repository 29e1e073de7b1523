"""What the host refuses."""

import functools
from typing import Any, Callable, Optional, ParamSpec, TypeVar

from componentize_py_types import Err

from .types import checker

P = ParamSpec("P")
R = TypeVar("R")


class HostError(Exception):
    """The host refused. Raised by all functions of the host's interfaces."""

    def __init__(self, where: str, payload: Any) -> None:
        #: "unsupported" (this account's kind of client can't do it), "bad-request",
        #: "too-many" (a limit of this call), "not-found", "busy", or another word of a
        #: later version.
        self.code: str = getattr(payload, "code", None) or _word(payload)
        #: What to do about it.
        self.reason: str = getattr(payload, "message", None) or getattr(payload, "value", "")
        #: A number when trying again later can help.
        self.retry_after_ms: Optional[int] = getattr(payload, "retry_after_ms", None)
        reason = f": {self.reason}" if self.reason else ""
        super().__init__(f"{where}: {self.code}{reason}")


def _word(payload: Any) -> str:
    """The case of a variant, such as Error_NoSuchStore, as the other SDKs write it."""
    name = type(payload).__name__.rpartition("_")[2]
    return "".join(f"-{c.lower()}" if c.isupper() else c for c in name).strip("-")


def checked(where: str, function: Callable[P, R]) -> Callable[P, R]:
    """A function of the host that raises TypeError for a wrong argument, and HostError
    when it is refused."""
    check = checker(where, function)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        check(*args, **kwargs)
        try:
            return function(*args, **kwargs)
        except Err as error:
            raise HostError(where, error.value) from None

    return call
