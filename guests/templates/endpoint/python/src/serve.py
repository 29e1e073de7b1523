"""Has an account say what is posted: {"account": …, "to": …, "text": …}. For which accounts
it may act, handler.toml says. What may be imported is in wxhost/wit/endpoint.
"""

import asyncio
import json
from typing import Optional

from componentize_py_types import Err, Ok
from poll_loop import PollLoop, Sink, Stream
from wit_world import exports
from wit_world.imports import acting, atomics, chat, model, types
from wit_world.imports.wasi_keyvalue_store import open as open_bucket


class IncomingHandler(exports.IncomingHandler):
    def handle(self, request: types.IncomingRequest, response_out: types.ResponseOutparam) -> None:
        loop = PollLoop()
        asyncio.set_event_loop(loop)
        loop.run_until_complete(serve(request, response_out))


async def serve(request: types.IncomingRequest, out: types.ResponseOutparam) -> None:
    is_post = isinstance(request.method(), types.Method_Post)
    message = understood(await read(request.consume())) if is_post else None
    if message is None:
        wanted = 'post {"account": …, "to": …, "text": …}'
        return await answer(out, 400, {"message": wanted})
    try:
        acting.act_for(message["account"])
        task = chat.send(message["to"], [model.Segment_Text(message["text"])])
    except Err as refused:
        # What the host refuses has a code and says why.
        why = {"code": refused.value.code, "message": refused.value.message}
        return await answer(out, 403, why)
    said = atomics.increment(open_bucket(""), "said", 1)
    print("said", said)
    await answer(out, 202, {"task": task, "said": said})


def understood(body: bytes) -> Optional[dict]:
    try:
        message = json.loads(body)
        is_whole = all(isinstance(message[key], str) for key in ("account", "to", "text"))
        return message if is_whole else None
    except (ValueError, LookupError, TypeError):
        return None


async def read(body: types.IncomingBody) -> bytes:
    stream, whole = Stream(body), b""
    while (piece := await stream.next()) is not None:
        whole += piece
    return whole


async def answer(out: types.ResponseOutparam, status: int, value: object) -> None:
    headers = types.Fields.from_list([("content-type", b"application/json")])
    response = types.OutgoingResponse(headers)
    response.set_status_code(status)
    body = response.body()
    types.ResponseOutparam.set(out, Ok(response))
    sink = Sink(body)
    await sink.send(json.dumps(value).encode())
    sink.close()
