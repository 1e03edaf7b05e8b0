#pragma once
// Signals that ask the run to stop.  Their handlers only set a flag; the loop looks at it.

namespace tightrope::signals {

// From here on SIGUSR1, SIGTERM and SIGINT ask for a stop; a second SIGINT ends the process at once.  First thing in
// main: before it a signal ends the process.
void watch();

const char* stop_asked();  // the name of the signal that came last, nullptr where none has; any thread

}  // namespace tightrope::signals
