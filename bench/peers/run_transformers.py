"""transformers on the processor:  run_transformers.py MODEL_FOLDER --what decode|score|train|load --out FILE

decode: 64 new tokens after a prompt of 32, key-value cache, sampled from the whole vocabulary at temperature 1 by the
inverse of the cumulative mass (ten times faster than torch.multinomial, which generate() calls).
score: log-probability of every given token but the first.  train: AdamW on float32 masters, bfloat16 by autocast.
load: a folder in the page cache to the first sampled token after a prompt of 32; imports are counted apart.
"""
import argparse
import importlib.metadata
import time

START = time.perf_counter()
import torch  # noqa: E402
from transformers import AutoModelForCausalLM, DynamicCache  # noqa: E402
from transformers.utils import logging  # noqa: E402

IMPORT_SECONDS = time.perf_counter() - START

import lm_common as common  # noqa: E402

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def load(folder, dtype):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="sdpa").eval()


def tokens(sequences, length):
    return torch.randint(20, 49000, (sequences, length), generator=torch.Generator().manual_seed(0))


def next_token(model, ids, cache):
    logits = model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1).logits
    logits = logits[:, -1].float()
    mass = (logits - logits.amax(-1, keepdim=True)).exp_().cumsum(-1)
    return torch.searchsorted(mass, torch.rand(len(mass), 1) * mass[:, -1:])


@torch.inference_mode()
def decode(model, prompt, new=common.NEW):
    begin = common.now()
    cache = DynamicCache(config=model.config)
    last = next_token(model, prompt, cache)
    first = common.now()
    for _ in range(new - 1):
        last = next_token(model, last, cache)
    return {**common.since(begin), **common.since(first, "decode_")}


@torch.inference_mode()
def score(model, x):
    begin = common.now()
    for row, ids in zip(model(x, use_cache=False).logits, x):  # all rows at once: twice the memory and slower
        torch.log_softmax(row[:-1].float(), -1).gather(1, ids[1:, None]).sum().item()
    return common.since(begin)


def train(model, optimiser, x, autocast):
    begin = common.now()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        loss = model(x, labels=x, use_cache=False).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    optimiser.zero_grad()
    return common.since(begin)


def first_token(folder, dtype):
    begin = common.now()
    decode(load(folder, dtype), tokens(1, common.PROMPT), 1)
    return common.since(begin)


def cases(what, folder, name):
    """Per shape: sequences, tokens of each, what is timed; the model is warm."""
    dtype = PRECISIONS[name]
    if what == "load":
        yield 1, common.PROMPT, lambda: first_token(folder, dtype)
    elif what == "train":
        model = load(folder, torch.float32).train()
        optimiser = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=True)
        train(model, optimiser, tokens(1, 4), name == "bfloat16")
        for sequences, length in common.TRAIN:
            x = tokens(sequences, length)
            yield sequences, length, lambda: train(model, optimiser, x, name == "bfloat16")
    else:
        model = load(folder, dtype)
        decode(model, tokens(1, 4), 2)
        if what == "decode":
            for sequences in common.DECODE:
                prompt = tokens(sequences, common.PROMPT)
                yield sequences, common.PROMPT + common.NEW, lambda: decode(model, prompt)
        else:
            for sequences, length in common.SCORE:
                x = tokens(sequences, length)
                yield sequences, length, lambda: score(model, x)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--what", choices=["decode", "score", "train", "load"], required=True)
    common.add_arguments(parser)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    logging.disable_progress_bar()
    versions = {name: importlib.metadata.version(name) for name in ("torch", "transformers")}
    limits = {}
    for name in PRECISIONS:
        for sequences, length, work in cases(options.what, options.folder, name):
            row = {"peer": "transformers", "what": options.what, "precision": name, "sequences": sequences,
                   "length": length, "versions": versions}
            counted = {"decode": sequences * common.NEW, "load": None}.get(options.what, sequences * length)
            later = sequences * (common.NEW - 1) if options.what == "decode" else None
            if options.what == "load":
                row["import_seconds"] = IMPORT_SECONDS
            common.measure(options, row, work, counted, later, limits)


if __name__ == "__main__":
    main()
