"""The border between the host's call and the bot's function."""

import sys
from typing import Any, Callable, TypeVar

from componentize_py_types import Err
from wit_world.imports import model
from wit_world.imports import random as host_random

from . import failures

OnEvent = TypeVar("OnEvent", bound=Callable[[model.Event], Any])


def bot(on_event: OnEvent) -> OnEvent:
    """Makes a function the bot: put `@bot` before it, once, in the module `bot`."""
    failures.check(on_event)

    class Handler:
        """What the component exports."""

        def on_event(self, event: model.Event) -> None:
            reseed()
            reason = failures.run(on_event, event)
            if reason is not None:
                raise Err(reason)

    # componentize-py looks for a class of this name in the bot's module.
    on_event.__globals__["Handler"] = Handler
    return on_event


def reseed() -> None:
    """The module `random` is in the component's image: every instance would draw the
    same numbers."""
    drawn = sys.modules.get("random")
    if drawn is not None:
        drawn.seed(host_random.get_random_u64())
