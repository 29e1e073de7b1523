// Checks of what a bot hands to the host. Without them a wrong value ends the
// call as a trap that doesn't say which value it was.

const must = (ok, where, wanted, value) => {
  if (!ok) throw new TypeError(`${where} must be ${wanted}, not ${nameOf(value)}`);
};

const nameOf = (value) =>
  value == null ? String(value)
  : Array.isArray(value) ? "a list"
  : typeof value === "string" ? JSON.stringify(value)
  : typeof value === "object" ? value.constructor?.name ?? "an object"
  : `${String(value)} (${typeof value})`;

export const string = (where, value) => {
  must(typeof value === "string", where, "a string", value);
  return value;
};

export const boolean = (where, value) => {
  must(typeof value === "boolean", where, "true or false", value);
  return value;
};

export const natural = (max) => (where, value) => {
  const ok = Number.isInteger(value) && value >= 0 && value <= max;
  must(ok, where, `a whole number from 0 to ${max}`, value);
  return value;
};
export const u32 = natural(2 ** 32 - 1);
export const u64 = natural(Number.MAX_SAFE_INTEGER);

export const bytes = (where, value) => {
  if (typeof value === "string") return new TextEncoder().encode(value);
  must(value instanceof Uint8Array, where, "a Uint8Array or a string", value);
  return value;
};

export const option = (type) => (where, value) => (value == null ? null : type(where, value));

export const list = (type) => (where, value) => {
  must(Array.isArray(value), where, "a list", value);
  return value.map((item, index) => type(`${where}[${index}]`, item));
};

export const pair = (where, value) => {
  must(Array.isArray(value) && value.length === 2, where, "[name, value]", value);
  return value.map((part, index) => string(`${where}[${index}]`, part));
};

export const oneOf = (...words) => (where, value) => {
  must(words.includes(value), where, words.map((word) => `"${word}"`).join(" or "), value);
  return value;
};

export const record = (fields) => (where, value) => {
  must(typeof value === "object" && value !== null, where, "an object", value);
  return Object.fromEntries(
    Object.entries(fields).map(([name, type]) => [name, type(`${where}.${name}`, value[name])]),
  );
};

/** A case without a value has the type null. */
export const variant = (cases) => (where, value) => {
  must(typeof value?.tag === "string", where, "an object with a tag", value);
  must(Object.hasOwn(cases, value.tag), `${where}.tag`, "a known one", value.tag);
  const type = cases[value.tag];
  return type ? { tag: value.tag, val: type(`${where}.val`, value.val) } : { tag: value.tag };
};

const source = variant({ held: string, url: string, bytes });

const file = record({
  id: string,
  name: option(string),
  mime: option(string),
  size: option(u64),
  url: option(string),
});

const exactSegment = variant({
  text: string,
  mention: string,
  "mention-all": null,
  image: source,
  sticker: source,
  voice: source,
  video: source,
  document: source,
  link: record({
    title: string,
    description: string,
    url: string,
    thumbnailUrl: option(string),
    appName: option(string),
  }),
  "mini-program": record({
    title: string,
    xml: string,
    cover: option(file),
    coverUrl: option(string),
  }),
  card: string,
  quote: string,
  raw: string,
});

const segment = (where, value) =>
  typeof value === "string" ? { tag: "text", val: value } : exactSegment(where, value);

/** One segment, a list of them, or text where a segment is just that. */
export const segments = (where, value) =>
  Array.isArray(value) ? list(segment)(where, value) : [segment(where, value)];

export const request = record({
  method: string,
  url: string,
  headers: (where, value) => list(pair)(where, value ?? []),
  body: (where, value) => bytes(where, value ?? ""),
  timeoutMs: option(u32),
});
