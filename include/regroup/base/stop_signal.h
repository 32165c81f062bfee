#pragma once

namespace regroup {

/// From now on a signal that asks for an end (SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU) only sets
/// a flag; a second SIGINT or SIGTERM ends the process at once. SIGHUP and the three after it stay ignored where
/// they were (nohup). Also ignores SIGPIPE and SIGXFSZ, so that a closed pipe or a file size limit is an
/// error code.
void install_stop_handlers();

/// The signal that asked for a stop, or 0.
int stop_signal();

/// Tests ask for a stop without sending a signal.
void set_stop_signal(int signal_number);

/// Goes on from what another copy of this state was asked: a person's next signal is the second one.
void take_over_stop_signal(int signal_number);

/// Ends work that was asked to stop.
/// @param resumable  something is on disk that the same command will find again
/// @throws StoppedError (exit 75) if resumable, else Error with exit 128 + the signal: 130, 143, 129 ...
void throw_if_stopped(bool resumable);

}  // namespace regroup
