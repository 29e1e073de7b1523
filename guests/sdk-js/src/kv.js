// What the bot keeps from event to event: a store of its own for each account, and one that
// its accounts share.
import atomics from "wasi:keyvalue/atomics@0.2.0-draft";
import batch from "wasi:keyvalue/batch@0.2.0-draft";
import store from "wasi:keyvalue/store@0.2.0-draft";
import { call } from "./errors.js";
import { bytes, list, string, u64 } from "./types.js";

const decoded = (value) => (value === null ? null : new TextDecoder().decode(value));
const keyFor = (method, key) => string(`kv.${method}: key`, key);
const keysFor = (method, wanted) => list(string)(`kv.${method}: keys`, wanted);

function bucketOf(name) {
  // Opened once per instance: handles count against a limit.
  let bucket;
  const opened = () => (bucket ??= call("kv", store.open, [name]));
  const onBucket = (method, ...args) =>
    call(`kv.${method}`, (...rest) => opened()[method](...rest), args);

  return {
    get: (key) => decoded(onBucket("get", keyFor("get", key))),

    getBytes: (key) => onBucket("get", keyFor("getBytes", key)),

    set: (key, value) => onBucket("set", keyFor("set", key), bytes("kv.set: value", value)),

    delete: (key) => onBucket("delete", keyFor("delete", key)),

    exists: (key) => onBucket("exists", keyFor("exists", key)),

    increment: (key, delta = 1) =>
      call("kv.increment", atomics.increment, [
        opened(),
        keyFor("increment", key),
        u64("kv.increment: delta", delta),
      ]),

    /** All keys; read page by page as they are asked for. */
    *keys() {
      let cursor = null;
      do {
        const page = onBucket("listKeys", cursor);
        yield* page.keys;
        cursor = page.cursor;
      } while (cursor !== null);
    },

    /** An object with the values of the keys that exist. */
    getMany: (wanted) => {
      const found = call("kv.getMany", batch.getMany, [opened(), keysFor("getMany", wanted)]);
      return Object.fromEntries(
        found.filter((entry) => entry !== null).map(([key, value]) => [key, decoded(value)]),
      );
    },

    setMany: (values) => {
      const entries = Object.entries(values).map(([key, value]) => [
        key,
        bytes(`kv.setMany: ${key}`, value),
      ]);
      call("kv.setMany", batch.setMany, [opened(), entries]);
    },

    deleteMany: (unwanted) =>
      call("kv.deleteMany", batch.deleteMany, [opened(), keysFor("deleteMany", unwanted)]),
  };
}

const own = bucketOf("");
const common = bucketOf("shared");

/** The bucket that all accounts of this bot share. */
export const shared = () => common;

export const { get, getBytes, set, exists, increment, keys, getMany, setMany, deleteMany } = own;
const remove = own.delete;
export { remove as delete };
