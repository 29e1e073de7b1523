// TextEncoder and TextDecoder for UTF-8, as far as bots need them.

const REPLACEMENT = 0xfffd;

/** Text to bytes. */
export class TextEncoder {
  get encoding() {
    return "utf-8";
  }

  encode(text = "") {
    const source = String(text).toWellFormed();
    const bytes = new Uint8Array(source.length * 3);
    let end = 0;
    for (let at = 0; at < source.length; at++) {
      const point = source.codePointAt(at);
      if (point < 0x80) {
        bytes[end++] = point;
      } else if (point < 0x800) {
        bytes[end++] = 0xc0 | (point >> 6);
        bytes[end++] = 0x80 | (point & 0x3f);
      } else if (point < 0x10000) {
        bytes[end++] = 0xe0 | (point >> 12);
        bytes[end++] = 0x80 | ((point >> 6) & 0x3f);
        bytes[end++] = 0x80 | (point & 0x3f);
      } else {
        at++; // It took two units of the text.
        bytes[end++] = 0xf0 | (point >> 18);
        bytes[end++] = 0x80 | ((point >> 12) & 0x3f);
        bytes[end++] = 0x80 | ((point >> 6) & 0x3f);
        bytes[end++] = 0x80 | (point & 0x3f);
      }
    }
    return bytes.slice(0, end);
  }
}

/** Bytes to text. */
export class TextDecoder {
  #fatal;
  #ignoreBOM;

  constructor(label = "utf-8", { fatal = false, ignoreBOM = false } = {}) {
    if (!/^\s*utf-?8\s*$/i.test(label)) throw new RangeError(`only utf-8 is known, not ${label}`);
    this.#fatal = fatal;
    this.#ignoreBOM = ignoreBOM;
  }

  get encoding() {
    return "utf-8";
  }

  decode(input = new Uint8Array()) {
    const bytes = ArrayBuffer.isView(input)
      ? new Uint8Array(input.buffer, input.byteOffset, input.byteLength)
      : new Uint8Array(input);
    const text = [];
    for (let at = 0; at < bytes.length; ) {
      const [point, length] = readPoint(bytes, at);
      if (point < 0 && this.#fatal) throw new TypeError("the bytes are no UTF-8");
      if (point !== 0xfeff || at > 0 || this.#ignoreBOM) {
        text.push(String.fromCodePoint(point < 0 ? REPLACEMENT : point));
      }
      at += length;
    }
    return text.join("");
  }
}

// The code point at a place, or -1, and how many bytes it took.
function readPoint(bytes, at) {
  const first = bytes[at];
  if (first < 0x80) return [first, 1];
  const length = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  if (length === 0) return [-1, 1];
  let point = first & (0x7f >> length);
  for (let next = 1; next < length; next++) {
    const byte = bytes[at + next];
    const [low, high] = next === 1 ? secondByte(first) : [0x80, 0xbf];
    if (!(byte >= low && byte <= high)) return [-1, next];
    point = (point << 6) | (byte & 0x3f);
  }
  return [point, length];
}

// Rules out long forms, halves of pairs and what is beyond Unicode.
function secondByte(first) {
  switch (first) {
    case 0xe0: return [0xa0, 0xbf];
    case 0xed: return [0x80, 0x9f];
    case 0xf0: return [0x90, 0xbf];
    case 0xf4: return [0x80, 0x8f];
    default: return [0x80, 0xbf];
  }
}
