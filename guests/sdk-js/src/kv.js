// What the bot keeps from event to event: a store of its own for each account.
import atomics from "wasi:keyvalue/atomics@0.2.0-draft";
import batch from "wasi:keyvalue/batch@0.2.0-draft";
import store from "wasi:keyvalue/store@0.2.0-draft";
import { call } from "./errors.js";
import { bytes, list, string, u64 } from "./types.js";

// Opened once per instance: handles count against a limit.
let bucket;
const opened = () => (bucket ??= call("kv", store.open, [""]));

const onBucket = (method, ...args) =>
  call(`kv.${method}`, (...rest) => opened()[method](...rest), args);
const keyFor = (method, key) => string(`kv.${method}: key`, key);
const decoded = (value) => (value === null ? null : new TextDecoder().decode(value));

export const get = (key) => decoded(onBucket("get", keyFor("get", key)));

export const getBytes = (key) => onBucket("get", keyFor("getBytes", key));

export const set = (key, value) =>
  onBucket("set", keyFor("set", key), bytes("kv.set: value", value));

const remove = (key) => onBucket("delete", keyFor("delete", key));
export { remove as delete };

export const exists = (key) => onBucket("exists", keyFor("exists", key));

export const increment = (key, delta = 1) =>
  call("kv.increment", atomics.increment, [
    opened(),
    keyFor("increment", key),
    u64("kv.increment: delta", delta),
  ]);

/** All keys; read page by page as they are asked for. */
export function* keys() {
  let cursor = null;
  do {
    const page = onBucket("listKeys", cursor);
    yield* page.keys;
    cursor = page.cursor;
  } while (cursor !== null);
}

const keysFor = (method, wanted) => list(string)(`kv.${method}: keys`, wanted);

/** An object with the values of the keys that exist. */
export const getMany = (wanted) => {
  const found = call("kv.getMany", batch.getMany, [opened(), keysFor("getMany", wanted)]);
  return Object.fromEntries(
    found.filter((entry) => entry !== null).map(([key, value]) => [key, decoded(value)]),
  );
};

export const setMany = (values) => {
  const entries = Object.entries(values).map(([key, value]) => [
    key,
    bytes(`kv.setMany: ${key}`, value),
  ]);
  call("kv.setMany", batch.setMany, [opened(), entries]);
};

export const deleteMany = (unwanted) =>
  call("kv.deleteMany", batch.deleteMany, [opened(), keysFor("deleteMany", unwanted)]);
