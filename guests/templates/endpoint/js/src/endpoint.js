// Has an account say what is posted: {"account": …, "to": …, "text": …}. For which accounts it
// may act, handler.toml says. What may be imported is in wxhost/wit/endpoint; `fetch`,
// `setTimeout` and streams are there as well.
import { send } from "wxhost:bot/chat@0.1.0";
import { actFor } from "wxhost:endpoint/acting@0.1.0";
import { increment } from "wasi:keyvalue/atomics@0.2.0-draft";
import { open } from "wasi:keyvalue/store@0.2.0-draft";

addEventListener("fetch", (event) => event.respondWith(serve(event.request)));

async function serve(request) {
  const message = request.method === "POST" ? await read(request) : null;
  if (message === null) {
    return new Response('post {"account": …, "to": …, "text": …}\n', { status: 400 });
  }
  try {
    actFor(message.account);
    // What can fail first: once this has answered, what it asked for happens.
    const said = Number(increment(open(""), "said", 1n));
    const task = send(message.to, [{ tag: "text", val: message.text }]);
    console.log("said", said);
    return Response.json({ task, said }, { status: 202 });
  } catch (error) {
    // What the host refuses has a code and says why. All else is a mistake in here.
    if (error.payload?.code === undefined) throw error;
    return Response.json(error.payload, { status: 403 });
  }
}

async function read(request) {
  try {
    const { account, to, text } = await request.json();
    return [account, to, text].every((it) => typeof it === "string") ? { account, to, text } : null;
  } catch {
    return null;
  }
}
