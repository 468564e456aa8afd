"""Both services from Python, as any user's program would use them: stubs generated from proto/, a gRPC channel.

usage: python_client.py ROOT BIN

Starts `carrel serve` on a fresh data directory, generates the client, and runs a session and a search through it.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT, BIN = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
START_SECONDS = 120


def generate(target):
    protos = sorted(str(path.relative_to(ROOT / "proto")) for path in (ROOT / "proto" / "carrel").rglob("*.proto"))
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", "-I", ROOT / "proto", f"--python_out={target}",
                    f"--grpc_python_out={target}", *protos], check=True)
    sys.path.insert(0, str(target))


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def interpreter(channel):
    from carrel.interpreter.v1 import code_interpreter_pb2 as api, code_interpreter_pb2_grpc as stubs
    service = stubs.CodeInterpreterStub(channel)
    session = service.CreateSession(api.CreateSessionRequest(owner="tests", session_id="from-python"), timeout=60)
    check(session.state == api.SESSION_STATE_READY, session)
    again = service.CreateSession(api.CreateSessionRequest(owner="tests", session_id="from-python"), timeout=60)
    check(again.created_at_ms == session.created_at_ms, "the same id is the same session")

    def execute(code, **fields):
        return list(service.Execute(api.ExecuteRequest(owner="tests", session_id="from-python", code=code, **fields),
                                    timeout=60))

    def printed(code):
        return "".join(event.stdout for event in execute(code))

    events = execute("x = 41\nprint('hello')\nopen('note.txt', 'w').write('kept')\nx + 1",
                     return_files=api.RETURN_FILES_BYTES)
    kinds = [event.WhichOneof("event") for event in events]
    check(kinds[0] == "started" and kinds[-1] == "finished" and kinds.count("finished") == 1, kinds)
    check("".join(event.stdout for event in events) == "hello\n", events)
    check([event.display.data["text/plain"] for event in events if event.HasField("display")] == [b"42"], events)
    artifacts = {event.artifact.path: event.artifact.content for event in events if event.HasField("artifact")}
    check(artifacts == {"note.txt": b"kept"}, artifacts)
    check(events[-1].finished.kind == api.COMPLETED, events[-1])
    check(printed("print(x)") == "41\n", "variables live between calls")
    failed = execute("1 / 0")[-1].finished
    check(failed.kind == api.RAISED and failed.exception.name == "ZeroDivisionError" and failed.state_kept, failed)
    upload = iter([api.UploadFileRequest(header=api.UploadFileHeader(owner="tests", session_id="from-python",
                                                                     path="in/data.csv")),
                   api.UploadFileRequest(data=b"a,b\n1,2\n")])
    check(service.UploadFile(upload, timeout=60).size_bytes == 8, "upload")
    check(printed("print(open('in/data.csv').read())").startswith("a,b"), "the upload is there")
    check(service.DeleteSession(api.DeleteSessionRequest(owner="tests", session_id="from-python")).existed, "delete")


def retrieval(channel):
    from carrel.retrieval.v1 import retrieval_pb2 as api, retrieval_pb2_grpc as stubs
    service = stubs.RetrievalStub(channel)
    store = service.CreateStore(api.CreateStoreRequest(owner="tests", name="notes"), timeout=60)
    text = ("The pump is primed before the first start. Turn the valve a quarter to the left.\n\n"
            "The battery lasts four hours. A full charge takes ninety minutes.\n")
    header = api.AddDocumentHeader(owner="tests", store_id=store.store_id, file_name="manual.txt", wait=True)
    document = service.AddDocument(iter([api.AddDocumentRequest(header=header),
                                         api.AddDocumentRequest(data=text.encode())]), timeout=120)
    check(document.status == api.COMPLETED, document)
    reply = service.Search(api.SearchRequest(owner="tests", store_ids=[store.store_id],
                                             queries=["How long does charging take?"]), timeout=60)
    check(reply.hits, "something is found")
    citation = reply.hits[0].citations[0]
    content = "".join(part.text for part in service.GetContent(api.GetContentRequest(
        owner="tests", store_id=store.store_id, document_id=document.document_id), timeout=60))
    check(citation.quote == content[citation.span.begin:citation.span.end], citation)
    check(0 <= reply.hits[0].score <= 1, reply.hits[0].score)
    stranger = service.ListStores(api.ListStoresRequest(owner="another"), timeout=60)
    check(not stranger.stores, "owners do not see each other")
    check(service.DeleteStore(api.DeleteStoreRequest(owner="tests", store_id=store.store_id)).existed, "delete")


def main():
    work = pathlib.Path(tempfile.mkdtemp(prefix="carrel-python-", dir="/var/tmp"))
    work.chmod(0o755)
    (work / "generated").mkdir()
    generate(work / "generated")
    import grpc
    flags = ["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"]
    flags += [] if os.geteuid() == 0 else ["--allow-no-cgroup"]
    with open(work / "serve.log", "wb") as log:
        serve = subprocess.Popen([BIN / "carrel", "serve", "--data", work / "data", *flags], stdout=log, stderr=log)
    try:
        for name, use in [("interpreter", interpreter), ("retrieval", retrieval)]:
            socket = work / "data" / "run" / f"{name}.sock"
            began = time.monotonic()
            while not socket.exists():
                check(serve.poll() is None and time.monotonic() - began < START_SECONDS,
                      "carrel serve did not come up:\n" + (work / "serve.log").read_text())
                time.sleep(0.2)
            with grpc.insecure_channel(f"unix:{socket}") as channel:
                grpc.channel_ready_future(channel).result(timeout=START_SECONDS)
                use(channel)
                print(f"{name}: fine")
    finally:
        serve.send_signal(signal.SIGTERM)
        code = serve.wait(60)
        shutil.rmtree(work, ignore_errors=True)
    check(code == 0, f"carrel serve ended with {code}")


main()
