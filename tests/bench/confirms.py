"""What a confirm alone takes: messages of a webhook's size published at a rate, with nothing before or behind it.

`python -m tests.bench.confirms --amqp URL --bytes 1024` says that it is ready; each line `<connections> <seconds>
<rate>` on its input publishes so many a second for so long (as `load`, whose connections it has no use for), and
answers the times from when each was due to its confirm.
"""

import argparse
import asyncio
import json
import sys
import time
from uuid import uuid4

import uvloop
from tests.bench.load import TICK_S, body_of, counts_of

from headwater.bus.port import Message
from headwater.bus.rabbitmq import RabbitBus


async def paced(url: str, size: int, seconds: float, rate: float) -> dict[str, float]:
    bus = RabbitBus(url)
    await bus.open()
    took: list[float] = []
    total = int(rate * seconds)
    bodies = [body_of(number, size) for number in range(1000)]
    done = asyncio.get_running_loop().create_future()

    def confirmed(due: float, publish: "asyncio.Future[None]") -> None:
        publish.result()
        took.append(time.perf_counter() - due)
        if len(took) == total:
            done.set_result(None)

    began = time.perf_counter()
    for number in range(total):
        due = began + number / rate
        while time.perf_counter() < due:
            await asyncio.sleep(TICK_S)
        message = Message("webhook.received", str(uuid4()), bodies[number % 1000], {"tenant": "default"})
        bus.post(message).add_done_callback(lambda publish, due=due: confirmed(due, publish))
    async with asyncio.timeout(60):
        await done
    elapsed = time.perf_counter() - began
    await bus.close()
    return counts_of(took, [], elapsed)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--amqp", required=True)
    parser.add_argument("--bytes", type=int, default=1024)
    chosen = parser.parse_args()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        _, seconds, rate = line.split()
        answer = uvloop.run(paced(chosen.amqp, chosen.bytes, float(seconds), float(rate)))
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
