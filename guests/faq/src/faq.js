// Answers by keywords: the configuration's `faq.opening hours` is the answer to
// whatever contains "opening hours", `fallback` the one to everything else.
// "stats" tells people how often they got an answer.
import { bot, chat, config, kv, messageOf } from "@wxhost/sdk";

const PREFIX = "faq.";

export const handler = bot((event) => {
  const message = messageOf(event);
  if (message?.content.tag !== "text") return;
  const question = message.content.val.trim().toLowerCase();
  const counter = `asked.${message.author}`;
  if (question === "stats") {
    chat.reply(`You have asked ${kv.increment(counter, 0)} times.`);
    return;
  }
  // Of several keywords, the longest says most about what is meant.
  const [keyword] = Object.keys(config.getAll())
    .filter((key) => key.startsWith(PREFIX))
    .filter((key) => question.includes(key.slice(PREFIX.length).toLowerCase()))
    .sort((a, b) => b.length - a.length);
  const answer = config.get(keyword ?? "fallback");
  if (!answer) return;
  chat.reply(answer);
  kv.increment(counter);
});
