# asyncio: tasks, time-outs, a subprocess, threads, streams over a socket file.
# verdict: COMPLETED
# state: kept
# prints: twin ok
import asyncio, threading
async def main():
    async def serve(reader, writer):
        writer.write((await reader.readline()).upper())
        await writer.drain()
        writer.close()
    server = await asyncio.start_unix_server(serve, "/tmp/loop.sock")
    reader, writer = await asyncio.open_unix_connection("/tmp/loop.sock")
    writer.write(b"hello\n")
    assert await reader.readline() == b"HELLO\n"
    writer.close()
    server.close()
    process = await asyncio.create_subprocess_exec("echo", "hi", stdout=asyncio.subprocess.PIPE)
    assert (await process.communicate())[0] == b"hi\n"
    assert await asyncio.to_thread(sum, range(10)) == 45
    try:
        await asyncio.wait_for(asyncio.sleep(10), 0.05)
    except asyncio.TimeoutError:
        return
    raise AssertionError("no time-out")
errors = []
def run():
    try:
        asyncio.run(main())
    except BaseException as error:
        errors.append(error)
thread = threading.Thread(target=run)
thread.start()
thread.join()
assert not errors, errors
print("twin ok")
