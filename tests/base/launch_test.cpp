// Which of several processes this one is, by the environment of every launcher.
#include "regroup/base/launch.h"

#include <gtest/gtest.h>

#include <map>

#include "support/expect_error.h"

namespace regroup::testing {
namespace {

using Variables = std::map<std::string, std::string>;

Launch launch_with(const Variables& variables) {
  return launch_of_environment([&](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

TEST(Launch, AloneWithoutALauncher) {
  EXPECT_EQ(launch_with({}).size, 1);
  // The script of an sbatch job is no step; an interactive step has one task, whatever the job has.
  EXPECT_EQ(launch_with({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "4"}}).size, 1);
  EXPECT_EQ(launch_with({{"SLURM_PROCID", "0"},
                         {"SLURM_NTASKS", "4"},
                         {"SLURM_STEP_ID", "0"},
                         {"SLURM_STEP_NUM_TASKS", "1"}})
                .size,
            1);
  const Launch one = launch_with({{"RANK", "0"}, {"WORLD_SIZE", "1"}});
  EXPECT_EQ(one.size, 1);
  EXPECT_EQ(one.by, "");
}

TEST(Launch, Torchrun) {
  const Variables variables = {{"RANK", "3"},
                               {"WORLD_SIZE", "4"},
                               {"LOCAL_RANK", "1"},
                               {"MASTER_ADDR", "node7"},
                               {"MASTER_PORT", "29501"},
                               {"TORCHELASTIC_RUN_ID", "job"},
                               {"TORCHELASTIC_RESTART_COUNT", "2"},
                               {"TORCHELASTIC_USE_AGENT_STORE", "True"},
                               {"OMPI_COMM_WORLD_RANK", "0"},
                               {"OMPI_COMM_WORLD_SIZE", "9"}};
  const Launch launch = launch_with(variables);
  EXPECT_EQ(launch.rank, 3);
  EXPECT_EQ(launch.size, 4);
  EXPECT_EQ(launch.address, "node7");
  EXPECT_EQ(launch.port, 29501);
  EXPECT_TRUE(launch.meets_at_agent);
  EXPECT_EQ(launch.by, "torchrun");
  Variables again = variables;
  again["TORCHELASTIC_RESTART_COUNT"] = "3";
  EXPECT_NE(launch_with(again).run, launch.run) << "a restart would find the words of before";
}

TEST(Launch, Mpirun) {
  const Variables one_machine = {{"OMPI_COMM_WORLD_RANK", "1"},
                                 {"OMPI_COMM_WORLD_SIZE", "2"},
                                 {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"},
                                 {"PMIX_NAMESPACE", "1234567"}};
  const Launch launch = launch_with(one_machine);
  EXPECT_EQ(launch.rank, 1);
  EXPECT_EQ(launch.size, 2);
  EXPECT_EQ(launch.address, "127.0.0.1");
  EXPECT_GE(launch.port, 29500);
  EXPECT_EQ(launch.by, "mpirun");
  Variables several = one_machine;
  several["OMPI_COMM_WORLD_LOCAL_SIZE"] = "1";
  const ErrorInfo error = expect_error<ConfigError>("LAUNCH", [&] { launch_with(several); });
  EXPECT_TRUE(contains(error.message, "MASTER_ADDR must name the machine of rank 0"));
  several["MASTER_ADDR"] = "node1";
  EXPECT_EQ(launch_with(several).address, "node1");
}

// Two jobs on one machine must not meet each other.
TEST(Launch, Mpiexec) {
  const Variables plain = {{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}, {"MPI_LOCALNRANKS", "2"}};
  const ErrorInfo error = expect_error<ConfigError>("LAUNCH", [&] { launch_with(plain); });
  EXPECT_TRUE(contains(error.message, "MASTER_PORT must say where the 2 processes meet"));
  EXPECT_TRUE(contains(error.hint, "-genv MASTER_PORT"));
  const auto with = [&](const std::string& name, const std::string& value) {
    Variables more = plain;
    more[name] = value;
    return launch_with(more);
  };
  const Launch given = with("MASTER_PORT", "4711");
  EXPECT_EQ(given.rank, 1);
  EXPECT_EQ(given.size, 2);
  EXPECT_EQ(given.address, "127.0.0.1");
  EXPECT_EQ(given.port, 4711);
  EXPECT_EQ(given.by, "mpiexec");
  for (const char* name : {"PMI_JOBID", "PALS_APID", "PMI_PORT"}) {
    SCOPED_TRACE(name);
    const Launch one = with(name, "7001.0");
    const Launch other = with(name, "7002.0");
    EXPECT_GE(one.port, 29500);
    EXPECT_NE(one.port, other.port);
    EXPECT_NE(one.run, other.run);
  }
  // A port that is another one on each machine says nothing of the job.
  Variables several = plain;
  several["MPI_LOCALNRANKS"] = "1";
  several["MASTER_ADDR"] = "node1";
  several["PMI_PORT"] = "node2:4000";
  expect_error<ConfigError>("LAUNCH", [&] { launch_with(several); });
  EXPECT_EQ(launch_with({{"PMI_RANK", "0"}, {"PMI_SIZE", "1"}}).size, 1);
}

TEST(Launch, Srun) {
  const Launch launch = launch_with({{"SLURM_PROCID", "5"},
                                     {"SLURM_NTASKS", "8"},
                                     {"SLURM_STEP_ID", "0"},
                                     {"SLURM_JOB_ID", "70012"},
                                     {"SLURM_JOB_NODELIST", "gpu[007-008,12],other"}});
  EXPECT_EQ(launch.rank, 5);
  EXPECT_EQ(launch.size, 8);
  EXPECT_EQ(launch.address, "gpu007");
  EXPECT_GE(launch.port, 29500);
  EXPECT_LT(launch.port, 39500);
  EXPECT_EQ(launch.by, "srun");
}

TEST(Launch, FirstHost) {
  EXPECT_EQ(first_host("n1"), "n1");
  EXPECT_EQ(first_host("n1,n2"), "n1");
  EXPECT_EQ(first_host("n[1-4,7],m"), "n1");
  EXPECT_EQ(first_host("rack2-[09,11]"), "rack2-09");
  EXPECT_EQ(first_host(""), "");
}

TEST(Launch, WhatMakesNoSenseIsRefused) {
  const auto refused = [](const Variables& variables) {
    return expect_error<ConfigError>("LAUNCH", [&] { launch_with(variables); }).message;
  };
  const Variables good = {
      {"RANK", "0"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "a"}, {"MASTER_PORT", "1"}};
  const auto with = [&](const std::string& name, const std::string& value) {
    Variables changed = good;
    changed[name] = value;
    return refused(changed);
  };
  EXPECT_EQ(refused({{"RANK", "1"}}), "WORLD_SIZE must be given with RANK, found RANK=1 alone");
  EXPECT_EQ(refused({{"WORLD_SIZE", "2"}}),
            "RANK must be given with WORLD_SIZE, found WORLD_SIZE=2 alone");
  EXPECT_EQ(with("RANK", "2"), "RANK must be a whole number from 0 to 1, found 2");
  EXPECT_EQ(with("RANK", "-1"), "RANK must be a whole number from 0 to 1, found -1");
  EXPECT_EQ(with("WORLD_SIZE", "two"),
            "WORLD_SIZE must be a whole number from 1 to 65536, found two");
  EXPECT_EQ(with("LOCAL_RANK", "7"), "LOCAL_RANK must be a whole number from 0 to 1, found 7");
  EXPECT_EQ(with("MASTER_PORT", "99999"),
            "MASTER_PORT must be a whole number from 1 to 65535, found 99999");
  EXPECT_EQ(with("MASTER_PORT", ""),
            "MASTER_PORT must be a whole number from 1 to 65535, found nothing");
}

}  // namespace
}  // namespace regroup::testing
