// One rank throws while the others wait for it: the job must end within seconds and say who, where, when and why.
#include "tightrope/base/check.hpp"
#include "tightrope/base/mpi.hpp"

int main(int argc, char** argv) {
  using namespace tightrope;
  mpi::Session session(argc, argv);
  return mpi::guarded([] {
    const mpi::Comm comm = mpi::Comm::world();
    mpi::set_step(12);
    VALIDATE(comm.rank() != comm.size() - 1, "the last rank gives up", "that is its job", "expect exit code 1");
    comm.barrier();
    return 0;
  });
}
