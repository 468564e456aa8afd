# Leaves tasks and callbacks on the event loop, which go on in the next call and fail there.
# verdict: COMPLETED
# then: answers
import asyncio
async def later(n):
    while True:
        await asyncio.sleep(0)
        print("from before", n)
        raise asyncio.CancelledError if n % 2 else SystemExit(5)
loop = asyncio.get_running_loop() if await asyncio.sleep(0) is None else None
tasks = [loop.create_task(later(n)) for n in range(200)]
loop.call_soon(lambda: 1 / 0)
loop.set_exception_handler(lambda *_: 1 / 0)
loop.set_task_factory(lambda *_: None)
print("left")
