"""A program that takes vLLM's arguments and speaks its protocol, saying the last message back word by word."""

import argparse
import asyncio
import json

import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--host")
    parser.add_argument("--port", type=int)
    parser.add_argument("--api-key")
    parser.add_argument("--max-model-len", type=int)
    parser.add_argument("--max-num-seqs", type=int)
    parser.add_argument("--enable-lora", action="store_true")
    parser.add_argument("--max-lora-rank", type=int)
    parser.add_argument("--lora-modules")
    asked = parser.parse_args()

    def allowed(request) -> bool:
        return request.headers.get("authorization") == f"Bearer {asked.api_key}"

    async def models(request):
        if not allowed(request):
            return JSONResponse({"error": "key"}, status_code=401)
        names = [asked.model] + ([asked.lora_modules.partition("=")[0]] if asked.lora_modules else [])
        return JSONResponse({"data": [{"id": name} for name in names]})

    async def tokenize(request):
        body = await request.json()
        return JSONResponse({"tokens": [len(turn["content"]) for turn in body["messages"]]})

    async def chat(request):
        body = await request.json()
        words = body["messages"][-1]["content"].split()
        if len(words) > asked.max_model_len:
            return JSONResponse({"message": f"maximum context length is {asked.max_model_len}"}, status_code=400)

        async def events():
            for i, word in enumerate([body["model"], *words][: body["max_tokens"]]):
                said = {"token": f"token_id:{i}", "bytes": list(word.encode()), "logprob": -0.5, "top_logprobs": []}
                logprobs = {"content": [said]} if body.get("logprobs") else None
                choice = {"delta": {"content": word + " "}, "logprobs": logprobs, "finish_reason": None}
                yield f"data: {json.dumps({'choices': [choice]})}\n\n"
                await asyncio.sleep(0)
            cut = len(words) + 1 > body["max_tokens"]
            ending = {"delta": {}, "finish_reason": "length" if cut else "stop"}
            yield f"data: {json.dumps({'choices': [ending]})}\n\n"
            usage = {"prompt_tokens": len(words), "completion_tokens": len(words) + 1}
            yield f"data: {json.dumps({'choices': [], 'usage': usage})}\n\ndata: [DONE]\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    routes = [
        Route("/v1/models", models),
        Route("/tokenize", tokenize, methods=["POST"]),
        Route("/v1/chat/completions", chat, methods=["POST"]),
    ]
    uvicorn.run(Starlette(routes=routes), host=asked.host, port=asked.port, log_level="error")


if __name__ == "__main__":
    main()
