"""What the language-model peers share: the shapes, repeats by two clocks, a time limit, rows as JSON lines."""
import json
import os
import resource
import signal
import statistics
import time
from contextlib import contextmanager

from common import processor

PROMPT, NEW = 32, 64  # tokens
DECODE = (1, 16, 64)  # sequences
SCORE = ((16, 64), (16, 256))  # sequences, tokens of each
TRAIN = ((16, 64),)
TOO_SLOW = 5  # a precision is given up where its first repeat takes this many times float32's


class TooSlow(Exception):
    pass


def now():
    """Seconds of the clock, seconds of the processor in this process."""
    return time.perf_counter(), time.process_time()


def since(begin, name=""):
    """{seconds, cpu_seconds} since `begin`, their names preceded by `name`."""
    end = now()
    return {f"{name}seconds": end[0] - begin[0], f"{name}cpu_seconds": end[1] - begin[1]}


@contextmanager
def time_limit(seconds):
    """Raises TooSlow inside the block after so many seconds of processor time, which other work on the machine does
    not use up, between two operations of Python; None = no limit."""

    def stop(*_):
        raise TooSlow

    previous = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds or 0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)


def repeat(work, options, first_limit):
    """What `work` returned (see `since`), options.repeats times or until options.seconds have gone by.

    Throws TooSlow when the first one takes more than first_limit seconds of processor time (None = it may).
    """
    begin, found = time.perf_counter(), []
    while not found or len(found) < options.repeats and time.perf_counter() - begin < options.seconds:
        with time_limit(None if found else first_limit):
            found.append({**work(), "load_1min": os.getloadavg()[0]})
    return found


def rates(repeats, tokens, name=""):
    """Tokens per second: the best and the median by the clock, the best per second of processor time."""
    seconds = [r[f"{name}seconds"] for r in repeats]
    return {f"{name}rate": tokens / min(seconds), f"{name}median_rate": tokens / statistics.median(seconds),
            f"{name}cpu_rate": tokens / min(r[f"{name}cpu_seconds"] for r in repeats)}


def add_arguments(parser):
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60, help="no further repeat of a row after so long")
    parser.add_argument("--out", required=True, help="one JSON object is appended as a line")


def measure(options, row, work, tokens, later_tokens, limits):
    """Measures `work` and appends the row; `limits` keeps the first repeats of float32, by shape, between calls.

    tokens = None where the seconds themselves are the result; later_tokens = those after the first of each sequence.
    """
    key = row["what"], row["sequences"], row["length"]
    row = {**row, "threads": options.threads, "cores": len(os.sched_getaffinity(0)), "processor": processor()}
    said = f"more than {TOO_SLOW} times slower than float32: given up"
    try:
        repeats = repeat(work, options, limits.get(key))
        limits.setdefault(key, TOO_SLOW * repeats[0]["cpu_seconds"])
        row |= {"repeats": repeats, "load_1min": max(r["load_1min"] for r in repeats),
                "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
        if tokens:
            row |= rates(repeats, tokens)
            said = f"{row['rate']:.1f} tokens/s (median {row['median_rate']:.1f}, per CPU s {row['cpu_rate']:.1f})"
        else:
            row |= {"seconds": min(r["seconds"] for r in repeats),
                    "median_seconds": statistics.median(r["seconds"] for r in repeats),
                    "cpu_seconds": min(r["cpu_seconds"] for r in repeats)}
            said = f"{row['seconds']:.2f} s (median {row['median_seconds']:.2f}, CPU {row['cpu_seconds']:.2f})"
        if later_tokens:
            row |= rates(repeats, later_tokens, "decode_")
            said += f", decode alone {row['decode_rate']:.1f} (per CPU s {row['decode_cpu_rate']:.1f})"
    except TooSlow:
        row |= {"given_up": True, "load_1min": os.getloadavg()[0]}
    with open(options.out, "a") as file:
        file.write(json.dumps(row) + "\n")
    print(f"{row['peer']} {row['precision']} {row['what']} {row['sequences']} x {row['length']}, "
          f"{row['threads']} thread(s): {said}, load {row['load_1min']:.1f}", flush=True)
