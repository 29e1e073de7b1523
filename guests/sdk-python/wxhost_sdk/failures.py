"""What went wrong, as text. Nothing in here needs the host."""

import inspect
import traceback
from types import TracebackType
from typing import Any, Callable, Optional

NOT_ASYNC = (
    "the bot's function must not be async: nothing awaits it, so that it would never run. "
    "Every function of the SDK answers at once, without await."
)


def check(on_event: Any) -> None:
    """Raises when this can't be a bot's function. The build fails with it."""
    if not callable(on_event):
        raise TypeError("@bot goes before a function that takes an event")
    if inspect.iscoroutinefunction(on_event) or inspect.isasyncgenfunction(on_event):
        raise TypeError(NOT_ASYNC)


def run(on_event: Callable[[Any], Any], event: Any) -> Optional[str]:
    """Calls the bot's function. None if it went well, else why not."""
    try:
        result = on_event(event)
    except BaseException as error:  # sys.exit() too: it would end the instance unexplained.
        # The first frame is this one.
        trace = error.__traceback__
        return describe(error, trace.tb_next if trace else None)
    if inspect.isawaitable(result) or inspect.isgenerator(result):
        close = getattr(result, "close", None)
        if close is not None:
            close()
        return f"TypeError: {NOT_ASYNC}"
    return None


def describe(error: BaseException, trace: Optional[TracebackType]) -> str:
    """The error and where it came from. What it is comes first: lists show one line."""
    what = "".join(traceback.format_exception_only(error)).strip()
    where = "".join(traceback.format_exception(type(error), error, trace)).strip()
    return f"{what}\n{where}"
