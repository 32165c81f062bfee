// recipes/demo.toml asks for what the demo's own model can do.
#include <gtest/gtest.h>

#include "support/expect_error.h"
#include "support/process.h"

namespace regroup::testing {
namespace {

TEST(DemoRecipe, PlansForItsModel) {
  const TemporaryFolder folder;
  const Finished made = run_process(
      REGROUP_DEMO_DATA, {folder / "data", "--train-size", "300kB", "--valid-size", "20kB"});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  const Finished plan = run_process(
      REGROUP_BINARY, {"--recipe", "recipes/demo.toml", "plan", folder / "data/base-config"});
  EXPECT_EQ(plan.exit_code, 0) << plan.err;
  EXPECT_EQ(plan.err, "") << "a warning";
  EXPECT_TRUE(contains(plan.out, "context 256"));
}

}  // namespace
}  // namespace regroup::testing
