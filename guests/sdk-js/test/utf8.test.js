import assert from "node:assert/strict";
import test from "node:test";
import { TextDecoder as Decoder, TextEncoder as Encoder } from "../src/utf8.js";

// Node has the real ones: ours must agree with them.
const EDGES = [
  0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xed,
  0xee, 0xef, 0xbb, 0xf0, 0xf1, 0xf4, 0xf5, 0xff,
];

function* sequences() {
  for (const a of EDGES) for (const b of EDGES) for (const c of EDGES) {
    yield Uint8Array.of(a, b, c);
    yield Uint8Array.of(0xf0, a, b, c);
  }
}

const attempt = (decoder, bytes) => {
  try {
    return decoder.decode(bytes);
  } catch (error) {
    return error.name;
  }
};

test("decodes as the standard says, sound or not", () => {
  for (const options of [{}, { fatal: true }, { ignoreBOM: true }]) {
    const ours = new Decoder("utf-8", options);
    const standard = new TextDecoder("utf-8", options);
    for (const bytes of sequences()) {
      assert.equal(attempt(ours, bytes), attempt(standard, bytes), `${bytes}`);
    }
  }
});

test("encodes as the standard says, halves of pairs too", () => {
  for (const text of ["", "a", "é", "微信", "😀", "a\ud83d", "\ude00a", "\ud83d\ud83d\ude00"]) {
    assert.deepEqual(new Encoder().encode(text), new TextEncoder().encode(text));
  }
});
