#include "regroup/base/setting.h"

#include <gtest/gtest.h>

#include "regroup/base/error.h"
#include "support/expect_error.h"

namespace regroup {

enum class Fruit { kApple, kPear, kPlum };
template <>
struct Words<Fruit> {
  static constexpr auto all = std::to_array<Word<Fruit>>(
      {{"apple", Fruit::kApple}, {"pear", Fruit::kPear}, {"plum", Fruit::kPlum}});
};

namespace testing {
namespace {

TEST(Words, GoBothWays) {
  for (const Word<Fruit>& word : Words<Fruit>::all) {
    EXPECT_EQ(value_of<Fruit>(word.name, "--fruit"), word.value);
    EXPECT_STREQ(name_of(word.value), word.name);
  }
  EXPECT_STREQ(word_names<Fruit>()[2], "plum");
}

TEST(Words, OthersAreRefusedWithAllThatAreKnown) {
  for (const char* text : {"fig", "", "Apple", "apple "}) {
    const ErrorInfo error =
        expect_error<ConfigError>("FLAG_VALUE", [&] { value_of<Fruit>(text, "--fruit"); });
    EXPECT_EQ(error.message, std::string("--fruit must be apple, pear or plum, found ") + text);
  }
}

}  // namespace
}  // namespace testing
}  // namespace regroup
