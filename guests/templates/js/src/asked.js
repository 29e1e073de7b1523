/** What somebody wants, or null. Needs no host, so that a test can call it. */
export function asked(text) {
  switch (text.trim().toLowerCase()) {
    case "hello":
      return "greeting";
    case "ping":
      return "ping";
    default:
      return null;
  }
}
