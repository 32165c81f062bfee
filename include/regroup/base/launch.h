#pragma once

#include <functional>
#include <string>

namespace regroup {

/// Which of several processes that work together this one is, as their launcher says.
struct Launch {
  int rank = 0;
  int size = 1;
  std::string address = {};     ///< where they meet
  int port = 0;                 ///< likewise
  bool meets_at_agent = false;  ///< torchrun's agent listens there; else the first process does
  std::string run = {};         ///< sets this start apart from others that meet at the same place
  std::string by = {};          ///< who started them: "torchrun", "mpirun", "srun"; "": alone
};

/// A variable's value, nullptr where it is not set.
using Environment = std::function<const char*(const char* name)>;
const char* process_environment(const char* name);

/// RANK and WORLD_SIZE (torchrun, `processes`) come first, then OpenMPI and MPICH, then a step of SLURM with
/// several tasks; without them the process is alone.
/// @throws ConfigError LAUNCH for values that make no sense, saying what was found
Launch launch_of_environment(const Environment& environment = process_environment);

/// "node[007-012,20],other3" -> "node007".
std::string first_host(const std::string& slurm_node_list);

}  // namespace regroup
