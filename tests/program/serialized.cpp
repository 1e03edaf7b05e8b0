// Loaded before the program: MPI is asked for no more than MPI_THREAD_SERIALIZED, whatever the program asks for.
#define OMPI_SKIP_MPICXX  // MPI's deprecated C++ classes only warn
#include <mpi.h>

int MPI_Init_thread(int* argc, char*** argv, int, int* provided) {
  return PMPI_Init_thread(argc, argv, MPI_THREAD_SERIALIZED, provided);
}
