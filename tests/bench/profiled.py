"""`python -m tests.bench.profiled OUT MODULE ARGUMENTS…`: run a module under cProfile, by processor time.

By the clock on the wall a busy machine's other programs would show as slow functions of ours.
"""

import cProfile
import runpy
import sys
import time


def main() -> None:
    out, module = sys.argv[1:3]
    sys.argv[:] = [module, *sys.argv[3:]]
    profile = cProfile.Profile(time.process_time)
    try:
        profile.runcall(runpy.run_module, module, run_name="__main__", alter_sys=True)
    finally:
        profile.dump_stats(out)


if __name__ == "__main__":
    main()
