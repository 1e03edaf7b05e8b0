"""llama.cpp's llama-batched-bench:  run_llama.py BENCH FOLDER_OF_GGUF --out FILE

decode: 64 tokens after a prompt of 32, arbitrary tokens instead of sampled ones.  score: the prompt pass, which
computes the logits of each sequence's last token only: less than scoring every token asks.
"""
import argparse
import os
import re
import subprocess
import time
from pathlib import Path

import lm_common as common

PRECISIONS = ("float32", "bfloat16", "float16")
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class Bench:
    """One process of llama-batched-bench that measures the same shape again and again; call it for the next repeat."""

    def __init__(self, options, precision, prompt, new, sequences):
        model = str(Path(options.folder) / f"{precision}.gguf")
        context = sequences * -(-(prompt + new) // 256) * 256
        counts = ",".join([str(sequences)] * options.repeats)
        self.process = subprocess.Popen(
            [options.bench, "-m", model, "-c", str(context), "-t", str(options.threads), "-tb", str(options.threads),
             "-npp", str(prompt), "-ntg", str(new), "-npl", counts, "--output-format", "jsonl"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.new = new

    def __call__(self):
        begin, cpu = time.perf_counter(), cpu_seconds(self.process.pid)
        for line in self.process.stdout:
            found = dict(re.findall(r'"(t_pp|t_tg)": ([\d.]+)', line))
            if found:
                break
        else:
            raise RuntimeError(f"{self.process.args} ended early (status {self.process.wait()}) run it by hand")
        share = (cpu_seconds(self.process.pid) - cpu) / (time.perf_counter() - begin)
        prompt, later = float(found["t_pp"]), float(found["t_tg"])
        if self.new == 0:
            return {"seconds": prompt, "cpu_seconds": prompt * share}
        return {"seconds": prompt + later, "cpu_seconds": (prompt + later) * share, "decode_seconds": later,
                "decode_cpu_seconds": later * share}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench")
    parser.add_argument("folder", help="holds float32.gguf, bfloat16.gguf, float16.gguf")
    parser.add_argument("--what", choices=["decode", "score"], required=True)
    parser.add_argument("--source", required=True, help="what was built, for the row's versions")
    common.add_arguments(parser)
    options = parser.parse_args()
    shapes = [(n, common.PROMPT, common.NEW) for n in common.DECODE]
    if options.what == "score":
        shapes = [(n, length, 0) for n, length in common.SCORE]
    for precision in PRECISIONS:
        for sequences, prompt, new in shapes:
            row = {"peer": "llama.cpp", "what": options.what, "precision": precision, "sequences": sequences,
                   "length": prompt + new, "versions": {"llama.cpp": options.source}}
            with Bench(options, precision, prompt, new, sequences) as bench:
                common.measure(options, row, bench, sequences * (new or prompt), sequences * new, {})


if __name__ == "__main__":
    main()
