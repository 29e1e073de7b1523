// The bot's configuration, set by the people who run it.
import store from "wasi:config/store@0.2.0-rc.1";
import { call } from "./errors.js";
import { string } from "./types.js";

export function get(key) {
  return call("config.get", store.get, [string("config.get: key", key)]);
}

export function isOn(key) {
  return get(key) === "true";
}

export function getAll() {
  return Object.fromEntries(call("config.getAll", store.getAll, []));
}
