#!/usr/bin/python3
"""The language model's speed beside the peers' on this machine:  bench/lm.py MODEL_FOLDER OUTDIR/lm_peers.jsonl

Runs build/release/bin/bench_decode and bench_score in float32 and bfloat16, on core 0 and on cores 0 and 1 (--cores),
and prints a Markdown table of tokens per second, ours / the fastest peer, each in its faster precision.  Measure the
peers right before, by bench/peers/lm.sh.  On one core it counts per second of processor time, which other work on the
machine disturbs least (the tools print that for one thread), on two by the clock; the best of all repeats.
"""
import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

BIN = Path(__file__).resolve().parents[1] / "build" / "release" / "bin"
# What is read from the tools: "score 16 x 64 ..: .. 123.4 tokens/s ..", "train 16 x 64 .. 123.4 tokens/s ..", and
# " 16 sequences: decode .. (best 234.5) .. in all 123.4" for a prompt of 32 and 64 new tokens.
SCORE = re.compile(r"(score|train) (\d+) x (\d+)\b.*?([\d.]+) tokens/s")
DECODE = re.compile(r" *(\d+) sequences: decode .*?best ([\d.]+).* in all ([\d.]+)")
DECODE_LENGTH = 32 + 64
TOO_SLOW = 5
LEAST_SHARE = 0.6  # of the time of two cores: below it other work held threads up that wait for each other
NAMES = {"decode": "new tokens, prompt and sampling counted", "decode alone": "new tokens after each first",
         "score": "scored tokens", "train": "trained tokens"}


def load():
    return os.getloadavg()[0]


def parse(text):
    """{(what, sequences, length): tokens per second}; "decode alone" leaves the prompt and the first token out."""
    found = {}
    for line in text.splitlines():
        if match := SCORE.match(line):
            found[match[1], int(match[2]), int(match[3])] = float(match[4])
        elif match := DECODE.match(line):
            found["decode alone", int(match[1]), DECODE_LENGTH] = float(match[2])
            found["decode", int(match[1]), DECODE_LENGTH] = float(match[3])
    return found


def run_tool(command, environment, best, precision):
    """Runs one tool and puts its rates into `best` where they are better; shows its lines as they come.

    Gives a precision up that is TOO_SLOW times slower than another: bfloat16 on processors that do not know it.
    """
    name = f"{Path(command[3]).name} {precision}"
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        for line in process.stdout:
            print(f"{name}: {line}", end="", file=sys.stderr, flush=True)
            for key, rate in parse(line).items():
                if rate * TOO_SLOW < best.get(key, (0,))[0]:
                    print(f"{name}: more than {TOO_SLOW} times slower, given up", file=sys.stderr)
                    process.kill()
                    return
                best[key] = max(best.get(key, (0,)), (rate, precision, load()))
    if process.returncode != 0:
        sys.exit(f"{name} ended with status {process.returncode} (see above) run it by hand")


def run(folder, threads):
    """Our rates: {(what, sequences, length): (tokens per second, precision, load)}, the better of two precisions."""
    best = {}
    for tool in ("bench_decode", "bench_score"):
        if not (BIN / tool).exists():
            print(f"({tool} is not built: its rows show the peers alone)")
            continue
        for precision in ("float32", "bfloat16"):
            command = ["taskset", "-c", f"0-{threads - 1}", str(BIN / tool), folder, "--threads", str(threads),
                       "--precision", precision]
            run_tool(command, {**os.environ, "OMP_NUM_THREADS": str(threads)}, best, precision)
    return best


def disturbed(row):
    """Whether a row on several cores says more about other work on the machine than about the peer."""
    shares = [r["cpu_seconds"] / r["seconds"] / row["threads"] for r in row.get("repeats", [])]
    return row["threads"] > 1 and bool(shares) and max(shares) < LEAST_SHARE


def name_of(row):
    return f"{row['peer']} {row['precision']} {row['what']} {row['sequences']} x {row['length']} on {row['threads']}"


def peer_rates(rows, threads):
    """{(what, sequences, length): [(tokens per second, name, load)]}, the fastest first."""
    clock = "cpu_rate" if threads == 1 else "rate"
    found = {}
    for row in rows:
        for what, key in ((row["what"], clock), ("decode alone", "decode_" + clock)):
            if row["threads"] == threads and key in row and not disturbed(row):
                name = f"{row['peer']} {row['precision']}"
                found.setdefault((what, row["sequences"], row["length"]), []).append(
                    (row[key], name, row["load_1min"]))
    return {key: sorted(rates, reverse=True) for key, rates in found.items()}


def print_rows(ours, peers, threads):
    for key in sorted(peers.keys() | ours.keys(), key=lambda k: (list(NAMES).index(k[0]), *k[1:])):
        rate, precision, own_load = ours.get(key, (None, "", None))
        peer, name, peer_load = peers.get(key, [(None, "", None)])[0]
        ratio = f"{rate / peer:.2f}" if rate and peer else ""
        loads = " / ".join(f"{value:.1f}" if value is not None else "-" for value in (own_load, peer_load))
        print(f"| {NAMES[key[0]]} | {key[1]} x {key[2]} | {threads} | {f'{rate:.1f}' if rate else ''} {precision} | "
              f"{f'{peer:.1f}' if peer else ''} {name} | {ratio} | {loads} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("peers", type=Path)
    parser.add_argument("--cores", type=int, nargs="+", choices=(1, 2), default=(1, 2))
    options = parser.parse_args()
    rows = [json.loads(line) for line in options.peers.read_text().splitlines()]
    ours = {threads: run(options.folder, threads) for threads in options.cores}
    print("| what | sequences x tokens | cores | ours, tokens/s | fastest peer, tokens/s | ratio | load ours / peer |")
    print("|---|---|---|---|---|---|---|")
    for threads in options.cores:
        print_rows(ours[threads], peer_rates(rows, threads), threads)
    versions = {name: version for row in rows for name, version in row["versions"].items()}
    print(f"\nProcessor: {rows[0]['processor']}; {', '.join(map(' '.join, versions.items()))}. llama.cpp feeds "
          "arbitrary tokens instead of sampled ones, and its prompt pass (scored tokens) computes the logits of each "
          "sequence's last token only.")
    for row in rows:
        if row["what"] == "load" and "seconds" in row:
            print(f"\n{row['peer']} {row['precision']} on {row['threads']}: folder to first token "
                  f"{row['seconds']:.2f} s (imports {row['import_seconds']:.1f} s more), load {row['load_1min']:.1f}.")
    for said, kind in (("Given up, more than 5 times slower than float32", lambda row: row.get("given_up")),
                       ("Left out, disturbed by other work: measure again", disturbed)):
        if names := [name_of(row) for row in rows if kind(row)]:
            print(f"\n{said}: {'; '.join(names)}.")


if __name__ == "__main__":
    main()
