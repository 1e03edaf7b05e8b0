"""Changes a checkpoint and writes its checksums and its seal anew, as if the program had written it so."""
import ctypes
import struct

import numpy as np

XXHASH = ctypes.CDLL("libxxhash.so.0")  # what libxxhash-dev brings
XXHASH.XXH3_64bits.restype = ctypes.c_uint64
XXHASH.XXH3_64bits.argtypes = (ctypes.c_char_p, ctypes.c_size_t)


def xxh3(data):
    return XXHASH.XXH3_64bits(data, len(data))


def checksums(dataset):
    """Of each slab, from the values that are there."""
    ends = np.cumsum(dataset.attrs["slabs"])
    values = dataset[:]
    return [xxh3(values[end - size:end].tobytes()) for end, size in zip(ends, dataset.attrs["slabs"])]


def replace(dataset, values):
    """`values` of the same type and number."""
    dataset[:] = values
    dataset.attrs["xxh3"] = np.array(checksums(dataset), "u8")


def seal(path):
    """docs/hdf5.md says what is in the first 4096 bytes of a file."""
    data = bytearray(path.read_bytes())
    assert data[:16] == b"tightrope seal 1", data[:16]
    struct.pack_into("<Q", data, 24, len(data))
    count = struct.unpack_from("<Q", data, 32)[0]
    extents = [struct.unpack_from("<2Q", data, 40 + 16 * i) for i in range(count)]
    starts = [24] + [first + size for first, size in extents]
    ends = [first for first, _ in extents] + [len(data)]
    struct.pack_into("<Q", data, 16, xxh3(b"".join(data[start:end] for start, end in zip(starts, ends))))
    path.write_bytes(data)
