"""APScheduler as a peer: daily jobs in PostgreSQL, due in the same second; prints how late each began, in milliseconds.

It is installed into an environment of its own under var/bench; this file runs in it as a script.
"""

import asyncio
import json
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

PEER = Path(__file__)
ENVIRONMENT = Path("var/bench/apscheduler")
REQUIREMENTS = ("APScheduler>=3.10,<4", "SQLAlchemy>=2,<3", "psycopg2-binary>=2.9")
LATENESS: list[float] = []
SETTLE_S = 4.0
TRIALS = 200


async def peer_python() -> str:
    """The interpreter of the peer's environment, which is made when it is not there."""
    python = ENVIRONMENT / "bin" / "python"
    if not (ENVIRONMENT / "ready").exists():
        for command in (
            (sys.executable, "-m", "venv", str(ENVIRONMENT)),
            (str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *REQUIREMENTS),
        ):
            process = await asyncio.create_subprocess_exec(*command, stdout=sys.stderr)
            if await process.wait() != 0:
                raise RuntimeError(f"{' '.join(command[:3])} failed")
        (ENVIRONMENT / "ready").touch()
    return str(python)


def record(due_s: float) -> None:
    """The job: how late it is."""
    LATENESS.append((time.time() - due_s) * 1000)


def _add_s(scheduler: Any) -> float:
    """Seconds that it takes to write a job down, with as much again to spare."""
    began = time.monotonic()
    for number in range(TRIALS):
        scheduler.add_job(record, "cron", hour=0, args=[0.0], id=str(number))
    spent_s = time.monotonic() - began
    scheduler.remove_all_jobs()
    return 2 * spent_s / TRIALS


def main() -> None:
    from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore  # noqa: PLC0415 - of the peer's environment
    from apscheduler.schedulers.background import BackgroundScheduler  # noqa: PLC0415 - as above

    url, count = sys.argv[1].replace("postgresql://", "postgresql+psycopg2://"), int(sys.argv[2])
    scheduler = BackgroundScheduler(
        jobstores={"default": SQLAlchemyJobStore(url=url, tablename="peer_jobs", tableschema="public")},
        job_defaults={"misfire_grace_time": 3600},
        timezone=UTC,
    )
    scheduler.start(paused=True)
    begin = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=SETTLE_S + count * _add_s(scheduler))
    daily = {"hour": begin.hour, "minute": begin.minute, "second": begin.second}
    for number in range(count):
        scheduler.add_job(record, "cron", **daily, args=[begin.timestamp()], id=str(number))
    late_s = (datetime.now(UTC) - begin).total_seconds()
    if late_s > 0:
        raise SystemExit(f"the jobs were written {late_s:.1f} s too late")
    scheduler.resume()
    while len(LATENESS) < count:
        time.sleep(0.2)
    scheduler.shutdown(wait=False)
    print(json.dumps(LATENESS))


if __name__ == "__main__":
    main()
