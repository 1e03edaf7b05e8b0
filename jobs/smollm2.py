#!/usr/bin/env python3
"""Makes a Hugging Face model folder from a GGUF file of SmolLM2 (architecture llama, tied embedding).  Needs numpy.

usage: smollm2.py GGUF FOLDER [--dtype float32|bfloat16]

FOLDER gets model.safetensors, tokenizer.json, tokenizer_config.json, generation_config.json, config.json.
float32 holds the weights of the GGUF file without loss; bfloat16 rounds them to nearest, ties to even.
Everything is checked before the first byte is written; what cannot be converted is said in one sentence, exit code 1.

Formats: GGUF version 3 and its block types (specification and block layouts of the ggml project), safetensors.
"""
import argparse
import collections
import json
import math
import pathlib
import struct
import sys
import time

import numpy as np

# GGUF: the number of a metadata type -> its struct code; F32, STRING and ARRAY are read by hand.
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 7: "?", 10: "Q", 11: "q", 12: "d"}
F32, STRING, ARRAY = 6, 8, 9
SPECIAL = 3  # tokenizer.ggml.token_type of a control token

# GGUF: the number of a tensor type -> (elements of a block, its layout).
BLOCKS = {
    0: (1, np.dtype("<f4")),  # F32
    3: (32, np.dtype([("scale", "<f2"), ("minimum", "<f2"), ("nibbles", "u1", 16)])),  # Q4_1
    8: (32, np.dtype([("scale", "<f2"), ("values", "i1", 32)])),  # Q8_0
}
# What one layer holds: GGUF's name -> Hugging Face's.
LAYER = {"attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
         "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm",
         "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
DTYPES = {"float32": ("F32", 4), "bfloat16": ("BF16", 2)}  # safetensors: its name, bytes of an element

Tensor = collections.namedtuple("Tensor", "name shape kind begin")  # shape: slowest index first; begin: byte


class Failure(Exception):
    """`problem (why) what to do`."""


class Metadata(dict):
    def __missing__(self, key):
        raise Failure(f"the GGUF file has no {key} (it is not one of SmolLM2's) give another file")


class Reader:
    """Reads values one after the other from the bytes of a GGUF file."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, size):
        if size > len(self.data) - self.at:
            raise Failure(f"the GGUF file ends too early (at byte {len(self.data)}) fetch it again")
        self.at += size
        return self.data[self.at - size:self.at]

    def numbers(self, code, count):
        return struct.unpack(f"<{count}{code}", self.take(count * struct.calcsize("<" + code)))

    def number(self, code):
        return self.numbers(code, 1)[0]

    def text(self):
        return self.take(self.number("Q")).decode("utf-8")

    def value(self, kind):
        if kind == STRING:
            return self.text()
        if kind == F32:  # the shortest decimal that gives this float32: 1e-05, not 9.999999747378752e-06
            return float(str(np.float32(self.number("f"))))
        if kind == ARRAY:
            kind, count = self.number("I"), self.number("Q")
            if kind in NUMBERS:
                return list(self.numbers(NUMBERS[kind], count))
            return [self.value(kind) for _ in range(count)]
        if kind not in NUMBERS:
            raise Failure(f"the GGUF file has a value of type {kind} (no such type) fetch it again")
        return self.number(NUMBERS[kind])


def read_gguf(data):
    """data: the bytes of the file.  Returns its metadata and its tensors, all of which lie inside the file."""
    if data[:4] != b"GGUF":
        raise Failure(f"this is no GGUF file (it begins with {data[:4]!r}) give the .gguf file of SmolLM2")
    reader = Reader(data)
    reader.take(4)
    version = reader.number("I")
    if version != 3:
        raise Failure(f"the GGUF file has version {version} (only 3 is read) give another file")
    tensor_count, pair_count = reader.numbers("Q", 2)
    metadata, infos = Metadata(), []
    for _ in range(pair_count):
        key = reader.text()
        metadata[key] = reader.value(reader.number("I"))
    for _ in range(tensor_count):
        name, extents = reader.text(), reader.numbers("Q", reader.number("I"))
        infos.append(Tensor(name, extents[::-1], reader.number("I"), reader.number("Q")))
    alignment = metadata.get("general.alignment", 32)
    start = (reader.at + alignment - 1) // alignment * alignment
    tensors = [info._replace(begin=start + info.begin) for info in infos]
    for tensor in tensors:
        reader.at = tensor.begin
        reader.take(byte_count(tensor))
    return metadata, tensors


def byte_count(tensor):
    if tensor.kind not in BLOCKS:
        raise Failure(f"{tensor.name} has the GGUF tensor type {tensor.kind} (only F32, Q4_1 and Q8_0 are converted: "
                      "types 0, 3 and 8) give a file that is quantised so")
    elements, layout = BLOCKS[tensor.kind]
    if tensor.shape[-1] % elements:
        raise Failure(f"{tensor.name} has rows of {tensor.shape[-1]} (no multiple of {elements}) fetch the file again")
    return math.prod(tensor.shape) // elements * layout.itemsize


def weights(data, tensor):
    """float32 of tensor.shape.  Scale times value needs at most 19 bits: only the minimum of Q4_1 can round."""
    elements, layout = BLOCKS[tensor.kind]
    blocks = np.frombuffer(data, layout, math.prod(tensor.shape) // elements, tensor.begin)
    if elements == 1:
        return blocks.reshape(tensor.shape)
    if "values" in layout.names:
        result = blocks["values"].astype(np.float32)
    else:  # elements 0..15 are the low halves of the bytes, 16..31 the high ones
        result = np.concatenate([blocks["nibbles"] & 15, blocks["nibbles"] >> 4], axis=1).astype(np.float32)
    result *= blocks["scale"].astype(np.float32)[:, None]
    if "minimum" in layout.names:
        result += blocks["minimum"].astype(np.float32)[:, None]
    return result.reshape(tensor.shape)


def unpermuted(rows, heads):
    """llama.cpp turns neighbours (2i, 2i+1) of a head, Hugging Face turns (i, i + half): row 2i+j becomes j*half+i."""
    outputs, inputs = rows.shape
    return rows.reshape(heads, outputs // heads // 2, 2, inputs).transpose(0, 2, 1, 3).reshape(outputs, inputs)


def names(metadata, tensors):
    """GGUF's name -> Hugging Face's, for exactly the tensors that a SmolLM2 of this depth has."""
    expected = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}
    for layer in range(metadata["llama.block_count"]):
        for theirs, ours in LAYER.items():
            expected[f"blk.{layer}.{theirs}.weight"] = f"model.layers.{layer}.{ours}.weight"
    found = {tensor.name for tensor in tensors}
    for name in sorted(found - expected.keys()):
        raise Failure(f"the GGUF file has {name} (SmolLM2 has no such tensor; its head is tied) give another file")
    for name in sorted(expected.keys() - found):
        raise Failure(f"the GGUF file has no {name} (every SmolLM2 of its depth has one) give another file")
    return expected


def bfloat16(x):
    """The bits of float32 x rounded to nearest, ties to even, as uint16; x is finite."""
    bits = x.view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def write_weights(path, data, metadata, tensors, dtype):
    """safetensors: the length of the header in 8 bytes, a JSON header padded to 8 bytes, the tensors."""
    hugging_face, (code, width) = names(metadata, tensors), DTYPES[dtype]
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for tensor in tensors:
        begin, end = end, end + width * math.prod(tensor.shape)
        header[hugging_face[tensor.name]] = {"dtype": code, "shape": tensor.shape, "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    heads = {"attn_q": metadata["llama.attention.head_count"], "attn_k": metadata["llama.attention.head_count_kv"]}
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors:
            values = weights(data, tensor)
            part = tensor.name.split(".")[-2]
            if part in heads:
                values = unpermuted(values, heads[part])
            values = np.ascontiguousarray(values)
            file.write((values if dtype == "float32" else bfloat16(values)).data)


def token_ids(metadata):
    return {f"{name}_token_id": metadata[f"tokenizer.ggml.{key}_token_id"]
            for name, key in (("bos", "bos"), ("eos", "eos"), ("pad", "padding"))}


def config(metadata, dtype):
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": dtype, "hidden_act": "silu",
        "hidden_size": metadata["llama.embedding_length"], "intermediate_size": metadata["llama.feed_forward_length"],
        "num_hidden_layers": metadata["llama.block_count"],
        "num_attention_heads": metadata["llama.attention.head_count"],
        "num_key_value_heads": metadata["llama.attention.head_count_kv"],
        "max_position_embeddings": metadata["llama.context_length"], "vocab_size": metadata["llama.vocab_size"],
        "rms_norm_eps": metadata["llama.attention.layer_norm_rms_epsilon"],
        "rope_theta": metadata["llama.rope.freq_base"], "rope_scaling": None,
        "attention_bias": False, "mlp_bias": False, "tie_word_embeddings": True, **token_ids(metadata)}


def tokenizer(metadata):
    """Byte-level BPE; before it every digit (\\p{N}) is split off, then GPT-2's pattern: "smollm" in llama.cpp."""
    tokens, kinds = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"]
    bytes_as_letters = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    digits = {"type": "Digits", "individual_digits": True}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    special = [{"id": id, "content": tokens[id], **flags} for id in range(len(tokens)) if kinds[id] == SPECIAL]
    return {
        "version": "1.0", "truncation": None, "padding": None, "normalizer": None, "post_processor": None,
        "added_tokens": special, "pre_tokenizer": {"type": "Sequence", "pretokenizers": [digits, bytes_as_letters]},
        "decoder": bytes_as_letters,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
                  "vocab": {token: id for id, token in enumerate(tokens)},
                  "merges": metadata["tokenizer.ggml.merges"]}}


def tokenizer_config(metadata):
    tokens = metadata["tokenizer.ggml.tokens"]
    special = {**token_ids(metadata), "unk_token_id": metadata["tokenizer.ggml.unknown_token_id"]}
    return {
        "tokenizer_class": "PreTrainedTokenizerFast", "add_prefix_space": False, "add_bos_token": False,
        "clean_up_tokenization_spaces": False, "model_max_length": metadata["llama.context_length"],
        **{name.removesuffix("_id"): tokens[id] for name, id in special.items()},
        "chat_template": metadata["tokenizer.chat_template"]}


def convert(gguf, folder, dtype="float32"):
    """Returns (parameters, tensors, licence)."""
    data = gguf.read_bytes()
    metadata, tensors = read_gguf(data)
    for key, only in (("general.architecture", "llama"), ("tokenizer.ggml.model", "gpt2"),
                      ("tokenizer.ggml.pre", "smollm")):
        if metadata[key] != only:
            raise Failure(f"{key} is {metadata[key]} (SmolLM2's is {only}) give the .gguf file of SmolLM2")
    names(metadata, tensors)
    texts = {"tokenizer.json": tokenizer(metadata), "tokenizer_config.json": tokenizer_config(metadata),
             "generation_config.json": token_ids(metadata), "config.json": config(metadata, dtype)}
    folder.mkdir(parents=True, exist_ok=True)
    write_weights(folder / "model.safetensors", data, metadata, tensors, dtype)
    for name, content in texts.items():
        (folder / name).write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    return sum(math.prod(tensor.shape) for tensor in tensors), len(tensors), metadata["general.license"]


def main():
    parser = argparse.ArgumentParser(description="GGUF of SmolLM2 -> Hugging Face folder")
    parser.add_argument("gguf", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--dtype", choices=list(DTYPES), default="float32")
    arguments = parser.parse_args()
    start = time.monotonic()
    try:
        parameters, count, licence = convert(arguments.gguf, arguments.folder, arguments.dtype)
    except Failure as failure:
        sys.exit(f"error: {arguments.gguf}: {failure}")
    except OSError as error:
        sys.exit(f"error: {error.filename or arguments.folder}: {error.strerror} (while reading or writing it) "
                 "see to the path and to the room on the disk")
    print(f"   {parameters:,} parameters in {count} tensors, {arguments.dtype}, licence {licence}: "
          f"{time.monotonic() - start:.1f} s")


if __name__ == "__main__":
    main()
