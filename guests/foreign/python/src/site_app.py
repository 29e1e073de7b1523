"""What people write for componentize-py: `wasi:http` and the event loop that it brings."""

import asyncio
import json
import sys
from urllib.parse import parse_qsl, urlsplit

import poll_loop
from componentize_py_types import Ok
from poll_loop import PollLoop, Sink, Stream
from wit_world import exports
from wit_world.imports import monotonic_clock, types
from wit_world.imports.types import (
    Fields,
    IncomingRequest,
    OutgoingBody,
    OutgoingRequest,
    OutgoingResponse,
    ResponseOutparam,
)


class IncomingHandler(exports.IncomingHandler):
    def handle(self, request: IncomingRequest, response_out: ResponseOutparam) -> None:
        loop = PollLoop()
        asyncio.set_event_loop(loop)
        loop.run_until_complete(serve(request, response_out))


async def serve(request: IncomingRequest, out: ResponseOutparam) -> None:
    url = urlsplit(request.path_with_query() or "/")
    query = dict(parse_qsl(url.query))
    if url.path == "/pieces":
        sink = begin(out, 200, "text/plain")
        for number in range(1, 4):
            await a_while()
            await sink.send(f"piece {number}\n".encode())
        sink.close()
    elif url.path == "/back":
        sink = begin(out, 200, "application/octet-stream")
        body = Stream(request.consume())
        while (piece := await body.next()) is not None:
            await sink.send(piece)
        sink.close()
    elif url.path == "/fetch":
        await answer(out, *await fetched(query["url"]))
    elif url.path == "/fails":
        print("it will fail", file=sys.stderr)
        raise RuntimeError("asked to fail")
    else:
        print(f"asked for {url.path}")
        own = request.headers().get("x-own")
        seen = {
            "method": type(request.method()).__name__.removeprefix("Method_").upper(),
            "path": url.path,
            "query": query,
            "own": own[0].decode() if own else None,
            "body": (await read(request.consume())).decode(),
        }
        await answer(out, 200, seen)


async def a_while() -> None:
    """20 ms. This event loop has no `asyncio.sleep`."""
    pollable = monotonic_clock.subscribe_duration(20_000_000)
    await poll_loop.register(asyncio.get_event_loop(), pollable)


def begin(out: ResponseOutparam, status: int, content_type: str) -> Sink:
    response = OutgoingResponse(Fields.from_list([("content-type", content_type.encode())]))
    response.set_status_code(status)
    body = response.body()
    ResponseOutparam.set(out, Ok(response))
    return Sink(body)


async def answer(out: ResponseOutparam, status: int, value: object) -> None:
    sink = begin(out, status, "application/json")
    await sink.send(json.dumps(value).encode())
    sink.close()


async def read(body: types.IncomingBody) -> bytes:
    stream, read = Stream(body), b""
    while (piece := await stream.next()) is not None:
        read += piece
    return read


async def fetched(address: str) -> tuple[int, object]:
    url = urlsplit(address)
    request = OutgoingRequest(Fields.from_list([]))
    is_plain = url.scheme == "http"
    request.set_scheme(types.Scheme_Http() if is_plain else types.Scheme_Https())
    request.set_authority(url.netloc)
    request.set_path_with_query(url.path or "/")
    OutgoingBody.finish(request.body(), None)
    try:
        response = await poll_loop.send(request)
    except Exception as error:
        return 502, {"problem": repr(error)}
    text = (await read(response.consume())).decode()
    return 200, {"status": response.status(), "text": text}
