#pragma once

namespace regroup {

/// From now on the first SIGINT or SIGTERM only sets a flag; a second one ends the process at once.
/// Also ignores SIGPIPE and SIGXFSZ, so that a closed pipe or a file size limit is an error code.
void install_stop_handlers();

/// The signal that asked for a stop, or 0.
int stop_signal();

/// Tests ask for a stop without sending a signal.
void set_stop_signal(int signal_number);

/// Ends work that was asked to stop.
/// @param resumable  something is on disk that the same command will find again
/// @throws StoppedError (exit 75) if resumable, Error with exit 130 or 143 otherwise
void throw_if_stopped(bool resumable);

}  // namespace regroup
