# asyncio: tasks, time-outs, a subprocess, threads, streams.
# verdict: COMPLETED
# state: kept
# prints: twin ok
import asyncio, socket, threading
async def main():
    a, b = socket.socketpair()
    (reader, _), (_, writer) = await asyncio.open_connection(sock=a), await asyncio.open_connection(sock=b)
    writer.write(b"hello\n")
    assert await reader.readline() == b"hello\n"
    writer.close()
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
