// Sanitizer builds only: Open MPI's plugins stay loaded until the process ends, so that the leak report can name the
// plugin that a block came from, and lsan.supp can tell it from a leak of ours.
extern "C" int dlclose(void*) { return 0; }
