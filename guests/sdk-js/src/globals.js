// What JavaScript programs expect to be there and this engine lacks.
import logging from "wasi:logging/logging@0.1.0-draft";
import random from "wasi:random/random@0.2.12";
import { show } from "./errors.js";
import { lifetime } from "./lifetime.js";
import { TextDecoder, TextEncoder } from "./utf8.js";

const line = (level) => (...values) => {
  if (lifetime.called) logging.log(level, "bot", values.map(show).join(" "));
};

globalThis.console = {
  trace: line("trace"),
  debug: line("debug"),
  log: line("info"),
  info: line("info"),
  warn: line("warn"),
  error: line("error"),
};

// The engine's own generator is in the memory image too: every instance would
// draw the same numbers.
const drawWhileBuilding = Math.random;
const BATCH_BYTES = 512;
let drawn = new Uint32Array(0);
let used = 0;

Math.random = () => {
  if (!lifetime.called) return drawWhileBuilding();
  if (used === drawn.length) {
    drawn = new Uint32Array(random.getRandomBytes(BATCH_BYTES).slice().buffer);
    used = 0;
  }
  // 53 bits, all that a number below 1 can hold.
  const high = drawn[used++] >>> 5;
  const low = drawn[used++] >>> 6;
  return (high * 2 ** 26 + low) / 2 ** 53;
};

globalThis.TextEncoder ??= TextEncoder;
globalThis.TextDecoder ??= TextDecoder;
