#pragma once

#include <gtest/gtest.h>

#include <string>
#include <typeinfo>

#include "regroup/base/error.h"

namespace regroup::testing {

/// Runs `action`, which must throw an `E` with `code`; any other end is a failure of the test.
/// @return the error's fields and, as `message`, the whole text that a user reads
template <typename E = CheckpointError, typename Action>
ErrorInfo expect_error(const std::string& code, Action&& action) {
  try {
    action();
  } catch (const E& error) {
    EXPECT_EQ(error.info().code, code) << error.what();
    ErrorInfo info = error.info();
    info.message = error.what();
    return info;
  } catch (const std::exception& error) {
    ADD_FAILURE() << "expected " << code << ", but " << typeid(error).name() << ": "
                  << error.what();
    return {};
  }
  ADD_FAILURE() << "expected " << code << ", but nothing was thrown";
  return {};
}

/// True if `text` holds `part`; prints both otherwise.
inline ::testing::AssertionResult contains(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "\"" << part << "\" is not in \"" << text << "\"";
}

}  // namespace regroup::testing
