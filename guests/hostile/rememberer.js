// Counts its messages in its memory and in its bucket: the two agree as long as the instance
// is kept. Uses every operation of the store, since any of them could leave a handle open.
// Of the text `get URL` it asks for that address, and answers with the outcome.
import { HostError, bot, chat, kv, messageOf, textOf, web } from "../sdk-js/src/index.js";

let seen = 0;

export const handler = bot((event) => {
  if (!messageOf(event)) return;
  const text = textOf(event) ?? "";
  chat.reply(text.startsWith("get ") ? asked(text.slice(4)) : counted());
});

function asked(url) {
  try {
    const response = web.fetch({ method: "GET", url });
    return `ok ${response.status} ${new TextDecoder().decode(response.body)}`;
  } catch (error) {
    if (!(error instanceof HostError)) throw error;
    return `err ${error.code} ${error.reason}`;
  }
}

function counted() {
  seen += 1;
  kv.set("text", "kept");
  kv.setMany({ one: "1", two: "2" });
  const found = [kv.get("text"), kv.getBytes("text").length, kv.exists("one")];
  const many = Object.values(kv.getMany(["one", "two"])).join("");
  const keys = [...kv.keys()].length;
  kv.deleteMany(["one"]);
  kv.delete("two");
  return `${seen} ${kv.increment("messages")} ${found} ${many} ${keys > 2}`;
}
