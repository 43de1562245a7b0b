"""What the disk alone takes: records of a webhook's size, appended to a file at a rate and safe when `fdatasync` says so.

`python -m tests.bench.disk --folder F --bytes 1024` says that it is ready; each line `<connections> <seconds> <rate>` on
its input appends so many a second for so long (as `load`, whose connections it has no use for), and answers the times
from when each was due until it was safe. What is due while the disk is at it goes together the next time, as the
write-ahead log of a broker does it.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.load import body_of, counts_of


def paced(folder: Path, size: int, seconds: float, rate: float) -> dict[str, float]:
    took: list[float] = []
    total = int(rate * seconds)
    body = body_of(1, size)
    with tempfile.TemporaryFile(dir=folder, buffering=0) as log:
        began = time.perf_counter()
        while len(took) < total:
            due_count = min(int((time.perf_counter() - began) * rate) + 1, total)
            if due_count == len(took):
                time.sleep(max(began + len(took) / rate - time.perf_counter(), 0.0))
                continue
            log.write(body * (due_count - len(took)))
            os.fdatasync(log.fileno())
            safe = time.perf_counter()
            took += [safe - began - number / rate for number in range(len(took), due_count)]
        return counts_of(took, [], time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--bytes", type=int, default=1024)
    chosen = parser.parse_args()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        _, seconds, rate = line.split()
        print(json.dumps(paced(chosen.folder, chosen.bytes, float(seconds), float(rate))), flush=True)


if __name__ == "__main__":
    main()
