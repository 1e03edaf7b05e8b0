#!/usr/bin/env python3
"""Compares Tightrope's tokenizer with the Python package `tokenizers`, id for id and byte for byte.

usage: tokenizer_interop.py --tool tokenize_tool --tokenizer tokenizer.json [...] [--count 10000] [--seed 1]
                            [--variants tests/fixtures/tokenizers/variants.json]

Draws `count` texts, encodes each with and without the template's tokens, decodes the ids with and without special
tokens; then decodes as many lists of random ids, most of which cut characters.  Prints the first differences.
"""
import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile

try:
    import tokenizers
except ImportError:
    print(f"skipped: tokenizers is missing from {sys.executable} (jobs/setup.sh --tests installs it)")
    sys.exit(77)

SCRIPTS = [(0x20, 0x7e), (0xa0, 0xff), (0x100, 0x24f), (0x300, 0x36f), (0x370, 0x3ff), (0x400, 0x4ff), (0x590, 0x5ff),
           (0x600, 0x6ff), (0x900, 0x97f), (0xe00, 0xe7f), (0x1100, 0x11ff), (0x1780, 0x17ff), (0x1800, 0x18aa),
           (0x2000, 0x206f), (0x2070, 0x209f), (0x2150, 0x218b), (0x2200, 0x22ff), (0x2460, 0x24ff), (0x3000, 0x30ff),
           (0x4e00, 0x9fff), (0xa7c0, 0xa7df), (0xac00, 0xd7a3), (0xfb00, 0xfb06), (0xfe00, 0xfe0f), (0xff00, 0xffef),
           (0x10d40, 0x10d8f), (0x11f00, 0x11f59), (0x1d400, 0x1d7ff), (0x1f100, 0x1f1ff), (0x1f300, 0x1faff),
           (0x20000, 0x2a6df), (0x31350, 0x323af), (0xe0100, 0xe01ef)]
SPACES = " \t\n\r\v\f\x1c\x1f\x85\xa0\u1680\u180e\u2000\u200a\u200b\u2028\u2029\u202f\u205f\u2060\u3000\ufeff"
DIGITS = "0123456789½²³¼Ⅷⅻ①⑳٠١٩०९๓৪၃០零〇一万"
CONTROLS = "".join(map(chr, range(32))) + "\x7f\x80\x9f\u200c\u200d\u200e\u202e\u2066\ufffd\ufffe\U0010ffff"
WORDS = ("the of and to in is that The It's we're I'LL don't he'd THEY'VE x'S 'ſ 'K naïve façade Straße ﬁnance été "
         "Ελλάδα Москва שלום سلام नमस्ते สวัสดี 日本語 中文 한국어 ไทย tokenizer trajectory balance sort max ▁ ▁▁ ▁the "
         "<0x41> <0xE2> <unk> <s> </s> Ġthe Ċ !! ?? ... -- :) 3.14 1,000 10-20 2024-01-31 x=1; f(x) a_b self.x "
         "#include").split()
CODE = ["def f(x):\n    return x**2  # square\n", "for (int i = 0; i < n; ++i) {\n\ta[i] += 1;\n}\n",
        "SELECT * FROM t WHERE id = 42;\r\n", "{\"key\": [1, 2.5e-3, null]}\n", "<p class=\"a\">b &amp; c</p>\n\n",
        "https://example.org/a?b=c&d=%20e\n", "\\frac{1}{2}\\sum_{i=1}^{n} x_i\n", "    \n  \n\n\t\tx\n"]
EMOJI = ["😀", "👍🏽", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪🇫🇷", "❤️", "☕", "🤷🏻‍♀️", "e\u0301", "a\u0308\u0323", "\u0301", "한", "각", "ﷺ"]


def character(rng):
    kind = rng.random()
    if kind < 0.15:
        code = rng.randrange(0x110000)
        return chr(code) if not 0xd800 <= code < 0xe000 else "\ufffd"
    if kind < 0.25:
        return rng.choice(SPACES)
    if kind < 0.35:
        return rng.choice(DIGITS)
    if kind < 0.4:
        return rng.choice(CONTROLS)
    return chr(rng.randint(*rng.choice(SCRIPTS)))


def fragment(rng, specials):
    kind = rng.random()
    if kind < 0.35:
        return rng.choice(WORDS)
    if kind < 0.45:
        return rng.choice(SPACES) * rng.choice((1, 1, 1, 2, 3, 8))
    if kind < 0.53:
        return "".join(rng.choice(DIGITS) for _ in range(rng.randint(1, 8)))
    if kind < 0.6:
        return rng.choice(EMOJI)
    if kind < 0.65:
        return rng.choice(CODE)
    if kind < 0.73 and specials:
        token = rng.choice(specials)
        return rng.choice((token, token, " " + token + " ", token[:-1], token + token, "a" + token + "b"))
    if kind < 0.76:  # well-formed parts of random bytes
        return bytes(rng.randrange(256) for _ in range(rng.randint(1, 12))).decode("utf-8", "ignore")
    if kind < 0.8:
        return rng.choice(CONTROLS)
    return "".join(character(rng) for _ in range(rng.randint(1, 6)))


def texts(count, seed, specials):
    rng = random.Random(seed)
    result = ["", " ", "  ", "\n", "a", " a", "a ", "\u180e", "x\u180ey", "a\u0085b", "1\xa02"]
    while len(result) < count:
        parts = [fragment(rng, specials) for _ in range(rng.choice((1, 2, 3, 5, 8)))]
        text = rng.choice(("", "", " ")).join(parts)
        result.append(rng.choice(("", "", "", " ", "  ", "\n")) + text + rng.choice(("", "", "", " ", "\n", "  ")))
    return result[:count]


def id_lists(count, seed, size):
    rng = random.Random(seed)
    return [[rng.randrange(min(size, rng.choice((300, size))) + 3) for _ in range(rng.randint(0, 12))]
            for _ in range(count)]


def added_contents(tokenizer):
    return [token.content for _, token in sorted(tokenizer.get_added_tokens_decoder().items())][:40]


def expected(tokenizer, item):
    answer = {}
    ids = item
    if isinstance(item, str):
        answer["ids"] = tokenizer.encode(item, add_special_tokens=False).ids
        answer["ids_special"] = ids = tokenizer.encode(item).ids
    answer["text"] = tokenizer.decode(ids)
    answer["text_special"] = tokenizer.decode(ids, skip_special_tokens=False)
    return answer


def merge_patch(target, patch):
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def differences(tool, path, count, seed):
    """Pairs (text or ids, what each of the two says), and how many were compared."""
    tokenizer = tokenizers.Tokenizer.from_file(path)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    items = texts(count, seed, added_contents(tokenizer))
    items += id_lists(count, seed, tokenizer.get_vocab_size())
    run = subprocess.run([tool, path], input="".join(json.dumps(item) + "\n" for item in items), text=True,
                         stdout=subprocess.PIPE, check=True, encoding="utf-8")
    lines = run.stdout.split("\n")[:-1]
    if len(lines) != len(items):
        raise SystemExit(f"error: {tool} answered {len(lines)} of {len(items)} lines (it stopped early) run it by hand")
    found = []
    for item, line in zip(items, lines):
        mine, theirs = json.loads(line), expected(tokenizer, item)
        found += [(item, key, mine[key], theirs[key]) for key in theirs if mine[key] != theirs[key]]
    return found, len(items)


def variant_files(path, folder):
    """Writes each variant as a tokenizer of its own."""
    for number, variant in enumerate(json.loads(path.read_text(encoding="utf-8"))):
        base = json.loads((path.parent / f"{variant['base']}.json").read_text(encoding="utf-8"))
        file = pathlib.Path(folder) / f"variant{number}.json"
        file.write_text(json.dumps(merge_patch(base, variant["patch"])), encoding="utf-8")
        yield str(file), variant["name"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tool", required=True)
    parser.add_argument("--tokenizer", nargs="*", default=[])
    parser.add_argument("--variants", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    bad = False
    with tempfile.TemporaryDirectory() as folder:
        files = [(path, path) for path in options.tokenizer]
        files += variant_files(options.variants, folder) if options.variants else []
        for path, name in files:
            found, compared = differences(options.tool, path, options.count, options.seed)
            for item, key, mine, theirs in found[:5]:
                print(f"  {key} of {item!r}\n    tightrope  {mine!r}\n    tokenizers {theirs!r}")
            print(f"{name}: {options.count} texts, {compared - options.count} lists of ids, {len(found)} differences")
            bad = bad or bool(found)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
