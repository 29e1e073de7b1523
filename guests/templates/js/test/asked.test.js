import assert from "node:assert/strict";
import test from "node:test";
import { asked } from "../src/asked.js";

test("words are understood however they are written", () => {
  assert.equal(asked(" Hello "), "greeting");
  assert.equal(asked("PING"), "ping");
  assert.equal(asked("what?"), null);
});
