#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace regroup {

/// Ids of short pieces seen before: a table of fixed size in which a new piece takes the place of an old one.
class WordCache {
 public:
  static constexpr size_t kMaxBytes = 30;
  static constexpr size_t kMaxIds = 8;

  WordCache() : slots_(kSlots) {}
  /// Appends the ids of a piece, if it is known.
  bool find(std::string_view piece, std::vector<int32_t>& ids) const;
  /// Keeps a piece, if it is short.
  void put(std::string_view piece, std::span<const int32_t> ids);

 private:
  static constexpr size_t kSlots = size_t{1} << 16;
  struct alignas(64) Slot {
    std::array<int32_t, kMaxIds> ids{};
    std::array<char, kMaxBytes> text{};
    uint8_t bytes = 0;  // 0: empty
    uint8_t n_ids = 0;
  };
  static size_t slot_of(std::string_view piece);
  std::vector<Slot> slots_;
};

}  // namespace regroup
