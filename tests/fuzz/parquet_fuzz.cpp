#include <nlohmann/json.hpp>

#include "fuzz/memory_file.h"
#include "fuzz/targets.h"
#include "parquet/parquet_records.h"
#include "regroup/base/error.h"

namespace regroup::testing {

int fuzz_parquet(const uint8_t* data, size_t size) {
  static const MemoryFile file("parquet");
  file.hold(data, size);
  const auto read = [](const std::vector<std::string>& columns) {
    int64_t rows = 0;
    double share = 0;
    try {
      parquet::visit_records(
          file.path(),
          [&](const parquet::Row& row) {
            if (!row.record.is_object()) throw std::logic_error("a record is no object");
            if (row.read < share || row.read > 1) throw std::logic_error("the share that was read");
            share = row.read;
            return ++rows < 1000;
          },
          columns);
    } catch (const Error&) {
    }
  };
  read({});
  read({"text", "question"});
  return 0;
}

}  // namespace regroup::testing
