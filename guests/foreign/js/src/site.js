// What people write for jco and StarlingMonkey: the web's own `fetch` event, with requests
// and responses that stream.

addEventListener("fetch", (event) => event.respondWith(serve(event.request)));

async function serve(request) {
  const url = new URL(request.url);
  switch (url.pathname) {
    case "/pieces":
      return new Response(pieces(), { headers: { "content-type": "text/plain" } });
    case "/back":
      return new Response(request.body);
    case "/fetch":
      return fetched(url.searchParams.get("url"));
    case "/fails":
      console.error("it will fail");
      throw new Error("asked to fail");
    default:
      console.log(`asked for ${url.pathname}`);
      return Response.json({
        method: request.method,
        path: url.pathname,
        query: Object.fromEntries(url.searchParams),
        own: request.headers.get("x-own"),
        body: await request.text(),
      });
  }
}

// Three, each after a while.
function pieces() {
  const encoder = new TextEncoder();
  let number = 0;
  return new ReadableStream({
    async pull(controller) {
      number += 1;
      await new Promise((done) => setTimeout(done, 20));
      controller.enqueue(encoder.encode(`piece ${number}\n`));
      if (number === 3) {
        controller.close();
      }
    },
  });
}

async function fetched(url) {
  try {
    const response = await fetch(url);
    return Response.json({ status: response.status, text: await response.text() });
  } catch (error) {
    return Response.json({ problem: `${error}` }, { status: 502 });
  }
}
