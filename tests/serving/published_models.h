#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "regroup/serving/cache_layout.h"

namespace regroup::testing {

/// A published config.json, cut to the keys that matter, and what its cache takes at 16 bits.
struct PublishedModel {
  std::string name;
  std::string config;
  int64_t bytes_per_token;
  int64_t tokens;  ///< a context that is longer than the windows
  int64_t bytes;
};

inline CacheLayout layout_of(const std::string& text) {
  return parse_cache_layout(text, "config.json");
}

template <typename Models>
void expect_bytes(const Models& models) {
  for (const PublishedModel& model : models) {
    SCOPED_TRACE(model.name);
    try {
      const CacheLayout layout = layout_of(model.config);
      EXPECT_EQ(cache_bytes_per_token(layout, 16), model.bytes_per_token);
      EXPECT_EQ(cache_bytes(layout, model.tokens, 16), model.bytes);
    } catch (const std::exception& error) {
      ADD_FAILURE() << error.what();
    }
  }
}

/// A JSON list of `n` words: `nth` wherever layer % period == at, `other` elsewhere.
inline std::string layer_words(int n, int period, int at, const std::string& nth,
                               const std::string& other) {
  std::string list = "[";
  for (int layer = 0; layer < n; ++layer) {
    list += (layer == 0 ? "\"" : ", \"") + (layer % period == at ? nth : other) + "\"";
  }
  return list + "]";
}

}  // namespace regroup::testing
