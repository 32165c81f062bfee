#include "flag_names.h"

#include <gtest/gtest.h>

namespace regroup::testing {
namespace {

TEST(FlagNames, OfSettingsInBackquotes) {
  EXPECT_EQ(with_flags("`seq-len` must not exceed `batch-size`"),
            "--seq-len must not exceed --batch-size");
  EXPECT_EQ(with_flags("give `resume` never"), "give --resume never");
}

TEST(FlagNames, NothingElseIsChanged) {
  for (const char* text : {"", "nothing", "run `regroup eval` first", "an odd ` quote", "``",
                           "`Capital`", "`a/path`", "--seq-len 5"}) {
    EXPECT_EQ(with_flags(text), text);
  }
  EXPECT_EQ(with_flags("it`s `seq-len`"), "it`s --seq-len");
  EXPECT_EQ(with_flags("`regroup eval`, or give `lr`"), "`regroup eval`, or give --lr");
}

}  // namespace
}  // namespace regroup::testing
