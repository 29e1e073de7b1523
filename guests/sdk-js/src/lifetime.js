// A bot's modules run once, when it is built, and what they left in memory is
// part of every instance. There is no host to talk to at that time.

/** `called` turns true with the first event. */
export const lifetime = { called: false };
