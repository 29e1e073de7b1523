"""The concierge of a group: welcomes who is new, and answers by keywords.

Its configuration: `greeting`, in which {name} stands for the new members, and
`answer.KEYWORD` for each answer. "who is new" lists whom it welcomed last in the group.
"""

import json
from typing import List

from wxhost_sdk import Event, bot, chat, config, contacts, kv, log, message_of, model, text_of

import rules

#: How many names are remembered for each group.
REMEMBERED = 10


@bot
def on_event(event: Event) -> None:
    what = event.what
    if isinstance(what, model.Happening_MembersChanged) and what.value.joined:
        greet(what.value.group, what.value.joined)
        return
    message, text = message_of(event), text_of(event)
    if message is None or text is None:
        return
    if message.group and "who is new" in text.lower():
        names = json.loads(kv.get(key_of(message.group)) or "[]")
        chat.reply(", ".join(names) if names else "nobody, as far as I know")
        return
    answer = rules.answer(config.get_all(), text)
    if answer is not None:
        chat.reply(answer)
        kv.increment("answers")


def greet(group: str, users: List[str]) -> None:
    """Welcomes new members, and remembers them."""
    names = [name_of(group, user) for user in users]
    chat.send(group, rules.welcome(config.get("greeting"), names))
    former = json.loads(kv.get(key_of(group)) or "[]")
    kv.set(key_of(group), json.dumps((names + former)[:REMEMBERED]))
    log.info(f"{len(names)} joined {group}")


def name_of(group: str, user: str) -> str:
    """What people see of somebody, if it is known."""
    member = contacts.get_member(group, user)
    if member is None:
        return user
    return member.group_nickname or member.user.nickname or user


def key_of(group: str) -> str:
    return f"new.{group}"
