#!/usr/bin/env python3
"""An executor of runs that lives outside Carrel: any OpenAI-compatible chat model, with Carrel's tools over gRPC.

    python -m pip install grpcio grpcio-tools
    executor.py --carrel 127.0.0.1:8081 --model-url http://127.0.0.1:9000/v1 --model NAME \\
        [--store vs_…]... [--file file-…]... [--save DIR] "question"

Keys come from the environment: CARREL_API_KEY for Carrel, CARREL_MODEL_API_KEY for the model (if it wants one).
It prints the answer on stdout and what happens on stderr; files that the code wrote are saved below --save.

The loop is all that an executor needs: hand the model the tools, carry out what it calls, hand it the results, until it
answers. Carrel says in words what went wrong with a call, so that the model can mend it.
"""
import argparse
import json
import os
import pathlib
import sys
import urllib.error
import urllib.request
import uuid

import grpc

HERE = pathlib.Path(__file__).resolve().parent
ROUNDS_MAX = 16
TOOL_SECONDS = 300


def load_contract():
    """The messages and stubs of the tools and of files, generated from proto/ as it stands."""
    sys.path.insert(0, str(HERE.parents[1] / "proto"))
    return [grpc.protos_and_services(f"carrel/gateway/v1/{name}.proto") for name in ("tools", "files")]


class Carrel:
    """Both tools, for one conversation."""

    def __init__(self, address, key, stores, files):
        (self.messages, tools), (self.file_messages, file_services) = load_contract()
        channel = grpc.insecure_channel(address)
        self.stub = tools.ToolsStub(channel)
        self.file_stub = file_services.FilesStub(channel)
        self.metadata = (("authorization", f"Bearer {key}"),)
        self.stores, self.files = stores, files
        self.container = f"example_{uuid.uuid4().hex[:16]}"
        self.searches = 0
        self.written = []

    def definitions(self):
        """The tools as chat models take them. Searching is offered only where there is something to search."""
        reply = self.stub.ListTools(self.messages.ListToolsRequest(file_ids=self.files), metadata=self.metadata)
        return [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": json.loads(tool.parameters_json),
                },
            }
            for tool in reply.tools
            if tool.name != "file_search" or self.stores
        ]

    def invoke(self, name, arguments):
        """Carries out one call; returns what the model is to read."""
        request = self.messages.InvokeRequest(
            name=name,
            arguments=arguments,
            container=self.container,
            file_ids=self.files,
            vector_store_ids=self.stores,
            search_number=self.searches,
        )
        self.searches += name == "file_search"
        for event in self.stub.Invoke(request, metadata=self.metadata, timeout=TOOL_SECONDS):
            if event.HasField("result"):
                self.written += [*event.result.images, *event.result.outputs]
                return event.result.text
            print(event.logs, end="", file=sys.stderr, flush=True)
        raise RuntimeError("Carrel ended the call without a result")

    def save(self, folder):
        """Downloads all that the code wrote, each file under its own id."""
        for file in self.written:
            target = folder / file.file_id / pathlib.PurePosixPath(file.path).name
            target.parent.mkdir(parents=True, exist_ok=True)
            with open(target, "wb") as out:
                wanted = self.file_messages.DownloadFileRequest(file_id=file.file_id)
                for part in self.file_stub.DownloadFile(wanted, metadata=self.metadata):
                    out.write(part.data)
            print(f"saved {target} ({file.size_bytes} bytes)", file=sys.stderr)


def ask(url, key, body):
    """One answer of the chat model, whole."""
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
    request = urllib.request.Request(f"{url.rstrip('/')}/chat/completions", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=TOOL_SECONDS) as reply:
            return json.load(reply)["choices"][0]["message"]
    except urllib.error.HTTPError as error:
        sys.exit(f"the model refused ({error.code}): {error.read(2000).decode(errors='replace')}")
    except urllib.error.URLError as error:
        sys.exit(f"the model at {url} cannot be reached: {error.reason}")


def run(carrel, url, key, model, question):
    tools = carrel.definitions()
    messages = [{"role": "user", "content": question}]
    for _ in range(ROUNDS_MAX):
        answer = ask(url, key, {"model": model, "messages": messages, "tools": tools})
        messages.append(answer)
        if not answer.get("tool_calls"):
            return answer.get("content") or ""
        for call in answer["tool_calls"]:
            name, arguments = call["function"]["name"], call["function"]["arguments"]
            print(f"--- {name} {arguments}", file=sys.stderr)
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": carrel.invoke(name, arguments)})
    sys.exit(f"the model did not come to an answer in {ROUNDS_MAX} rounds")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("question")
    parser.add_argument("--carrel", default="127.0.0.1:8081", help="HOST:PORT or unix:PATH of Carrel's gRPC front")
    parser.add_argument("--model-url", default=os.environ.get("CARREL_MODEL_BASE_URL", ""), help="http://host:port/v1")
    parser.add_argument("--model", default="default")
    parser.add_argument("--store", action="append", default=[], help="a vector store to search; may be repeated")
    parser.add_argument("--file", action="append", default=[], help="a file for the code; may be repeated")
    parser.add_argument("--save", type=pathlib.Path, help="folder for the files that the code wrote")
    options = parser.parse_args()
    if not options.model_url:
        parser.error("name a chat model: --model-url, or CARREL_MODEL_BASE_URL")
    carrel = Carrel(options.carrel, os.environ.get("CARREL_API_KEY", ""), options.store, options.file)
    try:
        print(run(carrel, options.model_url, os.environ.get("CARREL_MODEL_API_KEY"), options.model, options.question))
        if options.save:
            carrel.save(options.save)
    except grpc.RpcError as error:
        sys.exit(f"Carrel: {error.code().name}: {error.details()}")


if __name__ == "__main__":
    main()
