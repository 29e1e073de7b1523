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
  // Opened for each operation and closed after it: an instance that holds a handle when its
  // call is over is not kept for the account's next event.
  const withBucket = (where, use) => {
    const bucket = call(where, store.open, [name]);
    try {
      return call(where, use, [bucket]);
    } finally {
      bucket[Symbol.dispose]();
    }
  };
  const onBucket = (method, ...args) =>
    withBucket(`kv.${method}`, (bucket) => bucket[method](...args));

  return {
    get: (key) => decoded(onBucket("get", keyFor("get", key))),

    getBytes: (key) => onBucket("get", keyFor("getBytes", key)),

    set: (key, value) => onBucket("set", keyFor("set", key), bytes("kv.set: value", value)),

    delete: (key) => onBucket("delete", keyFor("delete", key)),

    exists: (key) => onBucket("exists", keyFor("exists", key)),

    increment: (key, delta = 1) => {
      const args = [keyFor("increment", key), u64("kv.increment: delta", delta)];
      return withBucket("kv.increment", (bucket) => atomics.increment(bucket, ...args));
    },

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
      const keys = keysFor("getMany", wanted);
      const found = withBucket("kv.getMany", (bucket) => batch.getMany(bucket, keys));
      return Object.fromEntries(
        found.filter((entry) => entry !== null).map(([key, value]) => [key, decoded(value)]),
      );
    },

    setMany: (values) => {
      const entries = Object.entries(values).map(([key, value]) => [
        key,
        bytes(`kv.setMany: ${key}`, value),
      ]);
      withBucket("kv.setMany", (bucket) => batch.setMany(bucket, entries));
    },

    deleteMany: (unwanted) => {
      const keys = keysFor("deleteMany", unwanted);
      withBucket("kv.deleteMany", (bucket) => batch.deleteMany(bucket, keys));
    },
  };
}

const own = bucketOf("");
const common = bucketOf("shared");

/** The bucket that all accounts of this bot share. */
export const shared = () => common;

export const { get, getBytes, set, exists, increment, keys, getMany, setMany, deleteMany } = own;
const remove = own.delete;
export { remove as delete };
