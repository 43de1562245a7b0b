"""How many files and connections a process may have open."""

import contextlib
import resource

WANTED = 65_536  # connections of senders (10,000 at most), database, broker and sources, and room


def allow_connections() -> None:
    """Raise the soft limit of open files as far as the hard one lets us: many systems begin at 1,024, and who has used
    that up can neither take requests nor reach the database.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    with contextlib.suppress(OSError, ValueError):  # some systems allow less than they say
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
