#!/usr/bin/env python3
"""Stops some threads of a process, and only these, for a time: what a hang looks like from outside.

    hang.py PID SECONDS NAME [NAME...]

Threads are chosen by their names (/proc/PID/task/*/comm). They are stopped by ptrace, which needs no change to the
program, and go on when the time is over. Ends sooner if the process does. Prints how many threads it stopped.
"""
import ctypes
import os
import sys
import time

PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH = 0x4206, 0x4207, 17
WALL = 0x40000000

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long] * 4
libc.ptrace.restype = ctypes.c_long


def ptrace(request, thread):
    if libc.ptrace(request, thread, 0, 0) == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def main():
    process, seconds, names = int(sys.argv[1]), float(sys.argv[2]), set(sys.argv[3:])
    stopped = []
    for thread in map(int, os.listdir("/proc/%d/task" % process)):
        with open("/proc/%d/task/%d/comm" % (process, thread)) as comm:
            if comm.read().strip() in names:
                ptrace(PTRACE_SEIZE, thread)
                ptrace(PTRACE_INTERRUPT, thread)
                os.waitpid(thread, WALL)
                stopped.append(thread)
    print(len(stopped), flush=True)
    if not stopped:
        sys.exit("no thread of process %d is called %s" % (process, " or ".join(sorted(names))))
    end = time.monotonic() + seconds
    while time.monotonic() < end and os.path.exists("/proc/%d/task/%d" % (process, stopped[0])):
        try:
            # A thread that was killed meanwhile is reaped here, or its process would not end.
            for thread in stopped:
                os.waitpid(thread, WALL | os.WNOHANG)
        except ChildProcessError:
            return
        time.sleep(0.02)
    for thread in stopped:
        try:
            ptrace(PTRACE_DETACH, thread)
        except OSError:
            pass


main()
