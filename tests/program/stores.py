"""The replay stores of a checkpoint, and whether all that is said of them holds."""
import ctypes
import struct

import h5py
import numpy

XXHASH = ctypes.CDLL("libxxhash.so.0")  # what libxxhash-dev brings
XXHASH.XXH3_64bits.restype = ctypes.c_uint64
XXHASH.XXH3_64bits.argtypes = (ctypes.c_char_p, ctypes.c_size_t)

HEAD = struct.Struct("<qq3qQdii")  # of a packed record: query, id, three versions, content, log R, length, finish
COUNTERS = ("next_ticket", "inserted", "drawn", "refused", "evicted", "draws", "newest", "step", "demand")
OF_A_RECORD = ("query", "id", "version", "length", "uses", "content", "log_reward")


class Checkpoint:
    """parameters: bytes by path.  stores: a list of records (dicts) per trainer.  counters: a dict per trainer."""

    def __init__(self, path):
        with h5py.File(path, "r") as file:
            self.step, self.trainers = int(file.attrs["step"]), int(file.attrs["trainers"])
            self.searchers = int(file.attrs["searchers"])
            self.deck = file.attrs["deck"]
            self.cursors = file["searchers/cursors"][:]
            self.parameters = {f"{name}/{array}": values[:].tobytes() for name, group in file["parameters"].items()
                               for array, values in group.items()}
            datasets = []
            file.visititems(lambda name, item: datasets.append(item) if isinstance(item, h5py.Dataset) else None)
            self.damaged = [item.name for item in datasets if self.checksums(item) != list(item.attrs["xxh3"])]
            slabs = {item.name: self.slabs(item) for item in datasets}
        self.counters = [dict(zip(COUNTERS, map(int, slab))) for slab in slabs["/index/counters"]]
        self.stores = [self.store(slabs, trainer) for trainer in range(self.trainers)]

    @staticmethod
    def slabs(dataset):
        return numpy.split(dataset[:], numpy.cumsum(dataset.attrs["slabs"])[:-1])

    def checksums(self, dataset):
        return [XXHASH.XXH3_64bits(data, len(data)) for data in map(numpy.ndarray.tobytes, self.slabs(dataset))]

    @staticmethod
    def store(slabs, trainer):
        columns = {name: slabs[f"/index/{name}"][trainer] for name in (*OF_A_RECORD, "slot", "ticket")}
        sizes = slabs["/store/record_bytes"][trainer]
        ends = numpy.cumsum(sizes)
        whole = slabs["/store/records"][trainer].tobytes()
        assert len(whole) == sizes.sum(), (len(whole), sizes.sum())
        return [{**{name: values[i] for name, values in columns.items()}, "bytes": whole[end - size:end]}
                for i, (size, end) in enumerate(zip(sizes, ends))]

    def records(self):
        """What belongs to the records themselves, of all stores, in an order of its own."""
        return sorted((tuple(record[name] for name in OF_A_RECORD) + (record["bytes"],)
                       for store in self.stores for record in store), key=lambda record: (record[1], record))

    def total(self, counter):
        return sum(counters[counter] for counters in self.counters)

    def ids(self):
        return [int(record["id"]) for store in self.stores for record in store]

    def problems(self, queries, deduplicated=False):
        """Sentences; none where every record is as it should be.  queries: of the task."""
        found = [f"{name} differs from its checksum" for name in self.damaged]
        if len(set(self.ids())) != len(self.ids()) and not deduplicated:
            found.append("a sample id is there twice")
        for trainer, store in enumerate(self.stores):
            tickets = [int(record["ticket"]) for record in store]
            if tickets != sorted(set(tickets)) or (tickets and tickets[-1] >= self.counters[trainer]["next_ticket"]):
                found.append(f"the tickets of trainer {trainer} are not ascending")
            if sorted(int(record["slot"]) for record in store) != list(range(len(store))):
                found.append(f"the slots of trainer {trainer} are not one row")
            if self.counters[trainer]["inserted"] != len(store) + self.counters[trainer]["evicted"]:
                found.append(f"trainer {trainer} inserted another number than it holds and evicted")
            for record in store:
                found.extend(self.problems_of(record, trainer, queries))
        return found

    def problems_of(self, record, trainer, queries):
        query, number, version, _, _, content, log_reward, length, _ = HEAD.unpack(record["bytes"][:HEAD.size])
        told = (query, number, version, content, log_reward, length)
        index = tuple(record[name] for name in ("query", "id", "version", "content", "log_reward", "length"))
        if told != index:
            yield f"record {number} of trainer {trainer} says {told}, the index {index}"
        owner = (query if queries >= self.trainers else number) % self.trainers
        if owner != trainer:
            yield f"record {number} is with trainer {trainer} and belongs to {owner}"
        if version > self.step:
            yield f"record {number} is of version {version}, after step {self.step}"
