"""Chat bots for wxhost.

A bot is a function that is called once per event, each time in a fresh sandbox. What it
asks for is made durable in one step after it returned; if it raises, nothing of that call
happens, and its traceback is shown to the people who run the bot::

    from wxhost_sdk import Event, bot, chat, kv, text_of

    @bot
    def on_event(event: Event) -> None:
        if text_of(event) == "ping":
            chat.reply(f"pong {kv.increment('pings')}")

Keep nothing in globals: it is gone with the next event. Use `kv`.
"""

from wit_world.imports import model

from . import chat, config, contacts, context, friends, groups, kv, log, tags, timers, web
from .entry import bot
from .errors import HostError
from .helpers import describe, message_of, now, random, send_text, text_of

Event = model.Event
Message = model.Message

__all__ = [
    "Event",
    "HostError",
    "Message",
    "bot",
    "chat",
    "config",
    "contacts",
    "context",
    "describe",
    "friends",
    "groups",
    "kv",
    "log",
    "message_of",
    "model",
    "now",
    "random",
    "send_text",
    "tags",
    "text_of",
    "timers",
    "web",
]
