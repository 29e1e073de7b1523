"""Events in the future: the bot is called again with a timer's name and payload, also when
the host was down at the time."""

from datetime import timedelta
from typing import Optional, Union

from wit_world.imports import model
from wit_world.imports import timers as host
from wit_world.imports import wall_clock

from .errors import checked

_set = checked("timers.set", host.set)
cancel = checked("timers.cancel", host.cancel)
list_timers = checked("timers.list_timers", host.list_timers)

_SCHEDULE = "schedule:"


def set(id: str, when: Union[timedelta, int], payload: str = "") -> None:
    """Sets a timer, in place of the one of the same name: so long from now, or at this
    time in milliseconds since 1970."""
    if isinstance(when, timedelta):
        at = wall_clock.now()
        after_ms = int(when.total_seconds() * 1000)
        when = max(0, at.seconds * 1000 + at.nanoseconds // 1_000_000 + after_ms)
    _set(id, when, payload)


def schedule(fired: model.TimerFired) -> Optional[str]:
    """The name of the schedule that fired; None for a timer that the bot has set."""
    return fired.id.removeprefix(_SCHEDULE) if fired.id.startswith(_SCHEDULE) else None
