// The table of uptrain's settings: every name once, every default one that its own range allows.
#include "regroup/uptrain/settings.h"

#include <gtest/gtest.h>

#include <set>

namespace regroup::testing {
namespace {

struct Audit {
  std::set<std::string> names;
  std::set<std::string> deciding;

  template <typename Value>
  void operator()(const Setting& setting, const Value& field) {
    SCOPED_TRACE(setting.name);
    EXPECT_TRUE(names.insert(setting.name).second) << "named twice";
    EXPECT_FALSE(std::string(setting.help).empty());
    if (setting.decides) deciding.insert(setting.name);
    if constexpr (std::is_arithmetic_v<Value>) {
      const bool left_out =
          setting.kind == Setting::Kind::kCount || setting.kind == Setting::Kind::kContext;
      if (left_out) return;
      EXPECT_GE(static_cast<double>(field), setting.min);
      EXPECT_LE(static_cast<double>(field), setting.max);
    }
  }
};

TEST(UptrainSettings, AreSound) {
  UptrainOptions options;
  Audit audit;
  visit_settings(options, audit);
  EXPECT_EQ(audit.names.size(), 40u);
  // What a resumed run must share, besides model, data, budget, rates and teacher.
  EXPECT_EQ(audit.deciding,
            (std::set<std::string>{"seq-len", "batch-size", "micro-batch-size", "min-lr",
                                   "schedule", "weight-decay", "clip-grad-norm", "precision",
                                   "train", "init-from-scratch"}));
}

}  // namespace
}  // namespace regroup::testing
