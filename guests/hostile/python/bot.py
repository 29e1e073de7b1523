"""The same as `rememberer.js`, in Python.

Counts its messages in its memory and in its bucket: the two agree as long as the instance is
kept. Uses every operation of the store, since any of them could leave a handle open. Of the
text `get URL` it asks for that address, and answers with the outcome.
"""

from wxhost_sdk import Event, HostError, bot, chat, kv, message_of, text_of, web

seen = 0


@bot
def on_event(event: Event) -> None:
    if message_of(event) is None:
        return
    text = text_of(event) or ""
    chat.reply(asked(text[4:]) if text.startswith("get ") else counted())


def asked(url: str) -> str:
    try:
        response = web.get(url)
    except HostError as error:
        return f"err {error.code} {error.reason}"
    return f"ok {response.status} {response.text()}"


def counted() -> str:
    global seen
    seen += 1
    kv.set("text", "kept")
    kv.set_many({"one": "1", "two": "2"})
    size = len(kv.get_bytes("text") or b"")
    found = f"{kv.get('text')},{size},{str(kv.exists('one')).lower()}"
    many = "".join(kv.get_many(["one", "two"]).values())
    keys = len(list(kv.keys()))
    kv.delete_many(["one"])
    kv.delete("two")
    return f"{seen} {kv.increment('messages')} {found} {many} {str(keys > 2).lower()}"
