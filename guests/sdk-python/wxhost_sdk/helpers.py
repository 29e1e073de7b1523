"""Short forms for what is asked most often."""

from typing import Optional

from wit_world.imports import model
from wit_world.imports import random as host_random
from wit_world.imports import wall_clock

from . import chat

_WORDS = {
    "Content_Text": "words",
    "Content_Image": "a picture",
    "Content_Voice": "a voice message",
    "Content_Video": "a video",
    "Content_Document": "a file",
    "Content_Sticker": "a sticker",
    "Content_Link": "a link",
    "Content_GroupInvitation": "an invitation to a group",
    "Content_MiniProgram": "a mini program",
    "Content_Location": "a place",
    "Content_Card": "a contact card",
    "Content_Transfer": "a transfer",
    "Content_Notice": "a notice",
    "Content_Recalled": "a message taken back",
}


def message_of(event: model.Event) -> Optional[model.Message]:
    """The message, if this is one that somebody else wrote."""
    what = event.what
    if isinstance(what, model.Happening_Message) and not what.value.outgoing:
        return what.value
    return None


def text_of(event: model.Event) -> Optional[str]:
    """The text, if this is a message of words that somebody else wrote."""
    message = message_of(event)
    if message is not None and isinstance(message.content, model.Content_Text):
        return message.content.value
    return None


def describe(content: model.Content) -> str:
    """In a few English words what it is, e.g. "a picture"."""
    return _WORDS.get(type(content).__name__, "something unknown")


def send_text(conversation: str, text: str) -> str:
    """Sends text to a user or a group. To answer where the event came from, use
    `chat.reply`."""
    return chat.send(conversation, text)


def now() -> int:
    """Milliseconds since 1970-01-01T00:00:00Z, as in all of the package."""
    at = wall_clock.now()
    return at.seconds * 1000 + at.nanoseconds // 1_000_000


def random(limit: int) -> int:
    """A random number below `limit`; 0 when that is 0."""
    return host_random.get_random_u64() % limit if limit > 0 else 0
