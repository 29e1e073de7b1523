// Answers "hello" with the configured greeting, and counts how often it was pinged.
import { bot, chat, config, kv, textOf } from "@wxhost/sdk";
import { asked } from "./asked.js";

export const handler = bot((event) => {
  const text = textOf(event);
  if (text === null) return;
  switch (asked(text)) {
    case "greeting":
      chat.reply(config.get("greeting") ?? "Hello!");
      break;
    case "ping": {
      const count = kv.increment("pings");
      console.log("ping", count);
      chat.reply(`pong ${count}`);
      break;
    }
  }
});
