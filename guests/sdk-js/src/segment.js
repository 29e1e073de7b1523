// Pieces of an outgoing message.

const piece = (tag) => (val) => ({ tag, val });
const media = (tag) => (source) => ({ tag, val: sourceOf(source) });

// An address, bytes, or a file that the host holds (an object with its id).
function sourceOf(source) {
  if (typeof source === "string") return { tag: "url", val: source };
  if (source instanceof Uint8Array) return { tag: "bytes", val: source };
  return { tag: "held", val: source?.id };
}

export const text = piece("text");
export const mention = piece("mention");
export const mentionAll = () => ({ tag: "mention-all" });
export const image = media("image");
export const sticker = media("sticker");
export const voice = media("voice");
export const video = media("video");
export const document = media("document");
export const link = piece("link");
export const miniProgram = piece("mini-program");
export const card = piece("card");
export const quote = piece("quote");
export const raw = piece("raw");
