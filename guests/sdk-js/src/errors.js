// What goes wrong, in words.
import { lifetime } from "./lifetime.js";

/** The host refused. */
export class HostError extends Error {
  constructor(where, payload) {
    const code = payload?.code ?? payload?.tag ?? "unknown";
    const reason = payload?.message ?? payload?.val;
    super(`${where}: ${code}${reason ? `: ${reason}` : ""}`);
    this.name = "HostError";
    this.code = code;
    this.reason = reason ?? "";
    this.retryAfterMs = payload?.retryAfterMs ?? null;
  }
}

/** Calls the host; its refusal becomes an error that can be read. */
export function call(where, hostFunction, args) {
  if (!lifetime.called) {
    throw new Error(`${where} only works inside the bot's function: there is no host before`);
  }
  try {
    return hostFunction(...args);
  } catch (error) {
    if (error?.payload === undefined) throw error;
    throw new HostError(where, error.payload);
  }
}

/** Whatever was thrown, as text. */
export function describe(thrown) {
  if (!(thrown instanceof Error)) return show(thrown);
  const cause = thrown.cause === undefined ? "" : `\ncaused by ${describe(thrown.cause)}`;
  return `${thrown.name}: ${thrown.message}\n${thrown.stack ?? ""}`.trimEnd() + cause;
}

/** Any value as text, for the log. */
export function show(value) {
  if (typeof value === "string") return value;
  if (value instanceof Error) return describe(value);
  if (typeof value === "function") return `[function ${value.name}]`;
  if (typeof value !== "object" || value === null) return String(value);
  try {
    return JSON.stringify(value, (_, inner) => {
      if (typeof inner === "bigint") return String(inner);
      if (inner instanceof Uint8Array) return `[${inner.length} bytes]`;
      if (inner instanceof Map || inner instanceof Set) return [...inner];
      return inner;
    }) ?? String(value);
  } catch {
    return `[${value.constructor?.name ?? "object"} that contains itself]`;
  }
}
