"""Answers "hello" with the configured greeting, and counts how often it was pinged."""

from wxhost_sdk import Event, bot, chat, config, kv, log, text_of

from asked import asked


@bot
def on_event(event: Event) -> None:
    text = text_of(event)
    if text is None:
        return
    wanted = asked(text)
    if wanted == "greeting":
        chat.reply(config.get("greeting") or "Hello!")
    elif wanted == "ping":
        count = kv.increment("pings")
        log.info(f"ping {count}")
        chat.reply(f"pong {count}")
