#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "page_reader.h"
#include "parquet_schema.h"
#include "regroup/base/strict_json.h"

namespace regroup::parquet {

/// The values of a dictionary page, as they lie there.
class Dictionary {
 public:
  /// @throws CheckpointError PARQUET_VALUES where it holds fewer than it says
  Dictionary(Page page, ValueKind kind, std::string place);
  Json at(uint32_t index) const;
  int64_t bytes() const;

 private:
  Page page_;
  ValueKind kind_;
  std::string place_;
  std::vector<uint32_t> begins_;  // of texts: each with its length in front
};

/// The values of a data page, one after the other, without nulls.
class ValueDecoder {
 public:
  virtual ~ValueDecoder() = default;
  /// A string may hold any bytes. @throws CheckpointError PARQUET_VALUES where there is none
  virtual Json next() = 0;
};

/// @param values      of the page; they must outlive the decoder, as must the dictionary
/// @param dictionary  may be null
/// @throws CheckpointError PARQUET_VALUES; UnsupportedError PARQUET_UNSUPPORTED for an encoding that is not read
std::unique_ptr<ValueDecoder> make_decoder(int32_t encoding, ValueKind kind,
                                           std::string_view values, const Dictionary* dictionary,
                                           const std::string& place);

}  // namespace regroup::parquet
