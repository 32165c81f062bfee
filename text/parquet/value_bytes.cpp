#include "value_bytes.h"

#include <bit>
#include <cmath>
#include <nlohmann/json.hpp>

#include "little_endian.h"
#include "parquet_errors.h"

namespace regroup::parquet {
namespace {

Json finite(double number) { return std::isfinite(number) ? Json(number) : Json(); }

}  // namespace

void refuse_values(const std::string& place) {
  refuse("PARQUET_VALUES", place, "must hold as many values as its pages promise, found fewer");
}

std::string_view take_front(std::string_view& bytes, size_t count, const std::string& place) {
  if (count > bytes.size()) refuse_values(place);
  const std::string_view taken = bytes.substr(0, count);
  bytes.remove_prefix(count);
  return taken;
}

std::string_view take_text(std::string_view& bytes, const std::string& place) {
  return take_front(bytes, load_little(take_front(bytes, 4, place)), place);
}

Json number_of(ValueKind kind, uint64_t bits) {
  const auto low = static_cast<uint32_t>(bits);
  switch (kind) {
    case ValueKind::kInt32:
      return static_cast<int32_t>(low);
    case ValueKind::kInt64:
      return static_cast<int64_t>(bits);
    case ValueKind::kUint32:
      return low;
    case ValueKind::kUint64:
      return bits;
    case ValueKind::kFloat:
      return finite(std::bit_cast<float>(low));
    case ValueKind::kDouble:
      return finite(std::bit_cast<double>(bits));
    case ValueKind::kBoolean:
    case ValueKind::kText:
      break;
  }
  return {};
}

size_t number_bytes(ValueKind kind) {
  const bool is_wide =
      kind == ValueKind::kInt64 || kind == ValueKind::kUint64 || kind == ValueKind::kDouble;
  return is_wide ? 8 : 4;
}

}  // namespace regroup::parquet
