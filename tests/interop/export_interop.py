#!/usr/bin/env python3
"""A run's export, read by transformers: the same tensors as the checkpoint's, the same words as our own sampler's.

usage: export_interop.py --program tightrope --generate tightrope-generate --export tightrope-export --model FOLDER
"""
import argparse
import os
import pathlib
import random
import subprocess
import sys
import tempfile

DECK = """[task]
kind = text
[model]
path = {model}
sampler_weights = float32
[data]
generator = sort
questions = 40
heldout_questions = 8
[text]
max_new = 6
[objective]
kind = vargrad
group = 4
[searcher]
samples_per_query = 4
batch = 16
[trainer]
steps = 5
batch = 16
learning_rate = 1e-2
weight_decay = 0.1  # a random model answers nothing right: this alone moves its weights
[replay]
bytes = 1MiB
[world]
threads = 1
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("program", "generate", "export", "model"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args()
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError as error:
        print(f"skipped: {error.name} is missing from {sys.executable} (jobs/setup.sh --tests installs it)")
        return 77
    environment = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    with tempfile.TemporaryDirectory() as folder:
        def run(*words):
            return subprocess.run(words, cwd=folder, env=environment, check=True, capture_output=True, text=True)

        pathlib.Path(folder, "deck.ini").write_text(DECK.format(model=options.model))
        run(options.program, "deck.ini")
        run(options.export, "runs/deck", "exported")
        left, exported, start = (AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
                                 for path in (f"{folder}/runs/deck/model", f"{folder}/exported", options.model))
        changed = 0
        for name, value in left.state_dict().items():
            assert torch.equal(value, exported.state_dict()[name]), f"{name} differs between the run's end and the tool"
            changed += not torch.equal(value, start.state_dict()[name])
        assert changed > 5, "training changed nothing"
        tokenizer = AutoTokenizer.from_pretrained(f"{folder}/exported")
        rng, same = random.Random(1), 0
        for _ in range(20):
            prompt = " ".join(str(rng.randint(0, 999)) for _ in range(rng.randint(2, 8)))
            ids = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)
            theirs = exported.generate(**ids, max_new_tokens=12, do_sample=False, pad_token_id=2)[0]
            wanted = tokenizer.decode(theirs[ids.input_ids.size(1):], skip_special_tokens=True)
            ours = run(options.generate, "exported", prompt, "--greedy", "--max-new=12", "--weights=float32",
                       "--threads=1")
            assert ours.stdout == wanted + "\n", f"{prompt!r}: transformers says {wanted!r}, we say {ours.stdout!r}"
            same += 1
        print(f"{len(left.state_dict())} tensors equal, {changed} changed by training, {same} greedy texts equal")
    return 0


if __name__ == "__main__":
    sys.exit(main())
