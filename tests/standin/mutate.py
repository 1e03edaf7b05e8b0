"""Copies a source with one mistake in it.  usage: mutate.py NAME SOURCE OUT"""
import pathlib
import sys

# name -> what stands in the source, exactly once, and what is put in its place
MUTANTS = {
    "sum_before_it_arrived": ("follow(slot.arrived, in_, work_);", ""),
    "sum_before_it_is_computed": ("follow(slot.arrived, kDefaultStream, in_);", ""),
    "copy_before_it_is_summed": ("follow(slot.summed, work_, out_);", ""),
    "unpack_before_it_left": ("if (state == cudaSuccess) return;", "return;"),
    "count_in_bytes": ("ncclAllReduce(at, at, values.size(),", "ncclAllReduce(at, at, values.size() * sizeof(float),"),
    "root_differs": ("type, kFirst, comm_.get()", "type, comm_.rank, comm_.get()"),
    "root_without_values": ("type, kFirst, comm_.get()", "type, comm_.size - 1, comm_.get()"),
    "use_after_abort": ("ncclCommAbort(std::exchange(comm_, nullptr))", "ncclCommAbort(comm_)"),
    "buckets_swapped_on_a_rank": (
        "plan_.buckets[started_]",
        "plan_.buckets[started_ < 2 && *std::getenv(\"OMPI_COMM_WORLD_RANK\") == '1' ? 1 - started_ : started_]"),
}


def main(name, source, out):
    right, mistake = MUTANTS[name]
    text = pathlib.Path(source).read_text()
    if text.count(right) != 1:
        sys.exit(f"{source}: '{right}' stands there {text.count(right)} times instead of once: change {__file__}")
    pathlib.Path(out).parent.mkdir(exist_ok=True)
    pathlib.Path(out).write_text("#include <cstdlib>\n" + text.replace(right, mistake))


main(*sys.argv[1:])
