import assert from "node:assert/strict";
import test from "node:test";
import { option, request, segments, string, u32 } from "../src/types.js";

test("text stands for a segment, and one segment for a list", () => {
  const hi = { tag: "text", val: "hi" };
  assert.deepEqual(segments("s", "hi"), [hi]);
  assert.deepEqual(segments("s", hi), [hi]);
  assert.deepEqual(segments("s", [{ tag: "mention", val: "u" }, "hi"]), [
    { tag: "mention", val: "u" },
    hi,
  ]);
});

test("an error says which value is wrong", () => {
  assert.throws(() => segments("chat.send: segments", ["a", { tag: "link", val: { title: "t" } }]), {
    message: "chat.send: segments[1].val.description must be a string, not undefined",
  });
  assert.throws(() => segments("s", [{ tag: "toString" }]), /s\[0\]\.tag must be a known one/);
  assert.throws(() => u32("limit", -1), /limit must be a whole number from 0 to 4294967295/);
  assert.throws(() => u32("limit", 5n), /not 5 \(bigint\)/);
});

test("what may be missing may be missing", () => {
  assert.equal(option(string)("x", undefined), null);
  assert.deepEqual(request("r", { method: "GET", url: "u" }), {
    method: "GET",
    url: "u",
    headers: [],
    body: new Uint8Array(),
    timeoutMs: null,
  });
});
