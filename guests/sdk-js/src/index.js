// Everything a bot imports. The typings are in ../index.d.ts.
import "./globals.js";

export { bot } from "./bot.js";
export { HostError } from "./errors.js";
export { chat, contacts, context, friends, groups, tags, timers, web } from "./host.js";
export * as segment from "./segment.js";
export * as config from "./config.js";
export * as kv from "./kv.js";

/** The message, if this is one that somebody else wrote, else null. */
export function messageOf(event) {
  const { tag, val } = event.what;
  return tag === "message" && !val.outgoing ? val : null;
}

/** The text, if this is a message of words that somebody else wrote, else null. */
export function textOf(event) {
  const content = messageOf(event)?.content;
  return content?.tag === "text" ? content.val : null;
}
