// Counts its messages in its memory and in its bucket: the two agree as long as the instance
// is kept. Uses every operation of the store, since any of them could leave a handle open.
import { bot, chat, kv, messageOf } from "../sdk-js/src/index.js";

let seen = 0;

export const handler = bot((event) => {
  if (!messageOf(event)) return;
  seen += 1;
  kv.set("text", "kept");
  kv.setMany({ one: "1", two: "2" });
  const found = [kv.get("text"), kv.getBytes("text").length, kv.exists("one")];
  const many = Object.values(kv.getMany(["one", "two"])).join("");
  const keys = [...kv.keys()].length;
  kv.deleteMany(["one"]);
  kv.delete("two");
  chat.reply(`${seen} ${kv.increment("messages")} ${found} ${many} ${keys > 2}`);
});
