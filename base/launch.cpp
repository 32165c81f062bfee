#include "regroup/base/launch.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdlib>
#include <optional>
#include <string_view>

#include "regroup/base/error.h"
#include "regroup/base/printable.h"

namespace regroup {
namespace {

constexpr int kDefaultPort = 29500;
constexpr int kMaxProcesses = 1 << 16;

[[noreturn]] void refuse(const std::string& message, const std::string& hint) {
  throw ConfigError({.code = "LAUNCH", .message = message, .hint = hint});
}

/// Reads variables; a wrong one is refused with its name and value.
class Variables {
 public:
  explicit Variables(const Environment& environment) : environment_(environment) {}

  bool has(const char* name) const { return environment_(name) != nullptr; }
  std::string text(const char* name) const {
    const char* value = environment_(name);
    return value == nullptr ? "" : value;
  }
  int number(const char* name, int min, int max) const {
    const std::string value = text(name);
    int found = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), found);
    const bool whole = error == std::errc() && end == value.data() + value.size();
    if (whole && found >= min && found <= max) return found;
    refuse(fmt::format("{} must be a whole number from {} to {}, found {}", name, min, max,
                       value.empty() ? "nothing" : printable(value, 60)),
           kHint);
  }

  static constexpr const char* kHint =
      "start the processes with torchrun --no-python, srun or mpirun, or with `processes`; unset "
      "RANK and WORLD_SIZE to train in one process";

 private:
  const Environment& environment_;
};

/// The names of one launcher's variables.
struct Names {
  const char* rank;
  const char* size;
};

/// Rank and size, which only make sense together.
Launch place(const Variables& variables, const Names& names, const std::string& by) {
  Launch launch;
  launch.size = variables.number(names.size, 1, kMaxProcesses);
  launch.rank = variables.number(names.rank, 0, launch.size - 1);
  if (launch.size > 1) launch.by = by;
  return launch;
}

/// Of jobs on one machine at the same time each has a port of its own, mostly.
int port_of_job(const std::string& job) {
  uint32_t hash = 0;
  for (const char c : job) hash = hash * 31 + static_cast<unsigned char>(c);
  return kDefaultPort + static_cast<int>(hash % 10000);
}

/// MASTER_ADDR and MASTER_PORT where they are given, else what the launcher itself knows.
void set_meeting(Launch& launch, const Variables& variables, const std::string& address,
                 std::optional<int> port) {
  if (launch.size == 1) return;
  launch.address = variables.has("MASTER_ADDR") ? variables.text("MASTER_ADDR") : address;
  if (variables.has("MASTER_PORT") || !port) {
    launch.port = variables.number("MASTER_PORT", 1, 65535);
  } else {
    launch.port = *port;
  }
  if (launch.address.empty()) {
    refuse(fmt::format("MASTER_ADDR must name the machine of rank 0 where {} processes meet, found "
                       "nothing",
                       launch.size),
           "set MASTER_ADDR (mpirun: -x MASTER_ADDR=HOST), or start them with torchrun");
  }
}

Launch of_torchrun(const Variables& variables) {
  for (const auto& [one, other] : {std::pair("RANK", "WORLD_SIZE"), {"WORLD_SIZE", "RANK"}}) {
    if (variables.has(one)) continue;
    refuse(fmt::format("{} must be given with {}, found {}={} alone", one, other, other,
                       printable(variables.text(other), 60)),
           Variables::kHint);
  }
  const bool elastic = variables.has("TORCHELASTIC_RUN_ID");
  Launch launch =
      place(variables, {"RANK", "WORLD_SIZE"}, elastic ? "torchrun" : "RANK and WORLD_SIZE");
  if (variables.has("LOCAL_RANK")) variables.number("LOCAL_RANK", 0, launch.size - 1);
  set_meeting(launch, variables, "", std::nullopt);
  launch.meets_at_agent = variables.text("TORCHELASTIC_USE_AGENT_STORE") == "True";
  launch.run =
      variables.text("TORCHELASTIC_RUN_ID") + "/" + variables.text("TORCHELASTIC_RESTART_COUNT");
  return launch;
}

Launch of_openmpi(const Variables& variables) {
  Launch launch = place(variables, {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"}, "mpirun");
  const bool one_machine =
      variables.text("OMPI_COMM_WORLD_LOCAL_SIZE") == variables.text("OMPI_COMM_WORLD_SIZE");
  launch.run = variables.text("PMIX_NAMESPACE") + variables.text("OMPI_MCA_ess_base_jobid");
  set_meeting(launch, variables, one_machine ? "127.0.0.1" : "", port_of_job(launch.run));
  return launch;
}

/// What sets a job apart that has PMI's variables. MPICH's own mpiexec says nothing, unless it has a port of its own on the
/// one machine.
std::string job_of_pmi(const Variables& variables, bool one_machine) {
  for (const char* name : {"PMI_JOBID", "PALS_APID"}) {
    if (variables.has(name)) return variables.text(name);
  }
  return one_machine ? variables.text("PMI_PORT") : "";
}

Launch of_mpich(const Variables& variables) {
  Launch launch = place(variables, {"PMI_RANK", "PMI_SIZE"}, "mpiexec");
  const bool one_machine = variables.text("MPI_LOCALNRANKS") == variables.text("PMI_SIZE");
  launch.run = job_of_pmi(variables, one_machine);
  if (launch.size > 1 && launch.run.empty() && !variables.has("MASTER_PORT")) {
    refuse(fmt::format("MASTER_PORT must say where the {} processes meet, as this mpiexec has no "
                       "name for its jobs by which two on one machine would know themselves apart; "
                       "found nothing",
                       launch.size),
           "mpiexec -genv MASTER_PORT 29500 ..., with another number for each job that runs at the "
           "same time, or `processes`");
  }
  set_meeting(launch, variables, one_machine ? "127.0.0.1" : "", port_of_job(launch.run));
  return launch;
}

Launch of_slurm(const Variables& variables) {
  const char* size =
      variables.has("SLURM_STEP_NUM_TASKS") ? "SLURM_STEP_NUM_TASKS" : "SLURM_NTASKS";
  Launch launch = place(variables, {"SLURM_PROCID", size}, "srun");
  const std::string nodes = variables.text(
      variables.has("SLURM_STEP_NODELIST") ? "SLURM_STEP_NODELIST" : "SLURM_JOB_NODELIST");
  launch.run = variables.text("SLURM_JOB_ID") + "." + variables.text("SLURM_STEP_ID") + "." +
               variables.text("SLURM_RESTART_COUNT");
  set_meeting(launch, variables, first_host(nodes), port_of_job(variables.text("SLURM_JOB_ID")));
  return launch;
}

}  // namespace

const char* process_environment(const char* name) { return std::getenv(name); }

Launch launch_of_environment(const Environment& environment) {
  const Variables variables(environment);
  if (variables.has("RANK") || variables.has("WORLD_SIZE")) return of_torchrun(variables);
  if (variables.has("OMPI_COMM_WORLD_RANK")) return of_openmpi(variables);
  // A script of sbatch has a SLURM_PROCID too, but it is no step.
  const bool step = variables.has("SLURM_STEP_ID") && variables.has("SLURM_PROCID");
  if (step && (variables.has("SLURM_STEP_NUM_TASKS") || variables.has("SLURM_NTASKS"))) {
    return of_slurm(variables);
  }
  if (variables.has("PMI_RANK") && variables.has("PMI_SIZE")) return of_mpich(variables);
  return {};
}

std::string first_host(const std::string& slurm_node_list) {
  const std::string_view list(slurm_node_list);
  const std::string_view name = list.substr(0, list.find_first_of("[,"));
  if (name.size() == list.size() || list[name.size()] == ',') return std::string(name);
  const std::string_view numbers = list.substr(name.size() + 1);
  const std::string first(name);
  return first + std::string(numbers.substr(0, numbers.find_first_of("-,]")));
}

}  // namespace regroup
