// The border between the host's call and the bot's function.
import { describe } from "./errors.js";
import { lifetime } from "./lifetime.js";

const NOT_ASYNC =
  "the bot's function must not be async: nothing runs after it returned, so what comes after " +
  "its first await never happens. Every function of the SDK answers at once, without await.";

/** Makes a function the bot: `export const handler = bot((event) => { … })`. */
export function bot(onEvent) {
  if (typeof onEvent !== "function") throw new TypeError("bot() takes a function");
  // Fails the build already: this file runs then.
  if (Object.prototype.toString.call(onEvent) === "[object AsyncFunction]") {
    throw new TypeError(NOT_ASYNC);
  }
  return {
    onEvent(event) {
      lifetime.called = true;
      let result;
      try {
        result = onEvent(event);
      } catch (error) {
        // Only text gets to the host as it is.
        throw describe(error);
      }
      if (typeof result?.then === "function") throw `TypeError: ${NOT_ASYNC}`;
    },
  };
}
