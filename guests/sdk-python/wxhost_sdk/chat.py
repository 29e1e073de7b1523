"""Messages. A function that gives a task's id starts a task: the account's client carries
it out after the bot returned."""

from typing import List, Union

from wit_world.imports import chat as host
from wit_world.imports import model

from .errors import checked

Segments = Union[str, model.Segment, List[Union[str, model.Segment]]]

reply = checked("chat.reply", host.reply)
_send = checked("chat.send", host.send)
recall = checked("chat.recall", host.recall)
stick = checked("chat.stick", host.stick)
download = checked("chat.download", host.download)
accept_transfer = checked("chat.accept_transfer", host.accept_transfer)
perform_raw = checked("chat.perform_raw", host.perform_raw)


def send(conversation: str, segments: Segments) -> str:
    """Sends text, a segment (`model.Segment_…`), or a list of both."""
    pieces = segments if isinstance(segments, list) else [segments]
    whole: List[model.Segment] = [
        model.Segment_Text(piece) if isinstance(piece, str) else piece for piece in pieces
    ]
    return _send(conversation, whole)


def mention(user: str) -> model.Segment:
    """Mentions a member of the group; the client writes the name."""
    return model.Segment_Mention(user)


def image(url: str) -> model.Segment:
    """A picture at this address."""
    return model.Segment_Image(model.FileSource_Url(url))
