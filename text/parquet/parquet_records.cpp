#include "parquet_records.h"

#include <fmt/format.h>

#include <deque>
#include <nlohmann/json.hpp>

#include "column_reader.h"
#include "parquet_errors.h"
#include "parquet_footer.h"
#include "parquet_schema.h"
#include "record_assembler.h"
#include "regroup/base/input_file.h"
#include "regroup/base/stop_signal.h"

namespace regroup::parquet {
namespace {

using Visit = std::function<bool(const Row&)>;

/// A file of a few bytes can stand for texts without end; packed texts come to a thousand times their bytes at most.
constexpr int64_t kAlwaysUnpacked = int64_t{1} << 30;
constexpr int64_t kMaxUnpacking = 1024;

class RowGroups {
 public:
  RowGroups(const InputFile& file, const Visit& visit, const std::vector<std::string>& columns)
      : file_(file),
        visit_(visit),
        footer_(read_footer(file)),
        schema_(make_schema(footer_.schema, file.path(), columns)),
        unpacked_left_(kAlwaysUnpacked + file.size() * kMaxUnpacking) {}

  void read() {
    for (const RowGroup& group : footer_.row_groups) {
      require_columns(group);
      n_rows_ += group.n_rows;
    }
    for (const RowGroup& group : footer_.row_groups) {
      if (!read_group(group)) return;
    }
  }

 private:
  void require_columns(const RowGroup& group) const {
    if (group.chunks.size() == schema_.n_chunks) return;
    refuse("PARQUET_SCHEMA", file_.path(),
           fmt::format("each row group must have the {} columns of the schema, found {}",
                       schema_.n_chunks, group.chunks.size()));
  }

  bool read_group(const RowGroup& group) {
    PageMemory memory;
    std::deque<ColumnReader> columns;  // they stay where they are
    for (const Leaf& leaf : schema_.leaves) {
      columns.emplace_back(file_, group.chunks[leaf.chunk], leaf, footer_.pages_end, memory);
    }
    RecordAssembler assembler(schema_.root, columns);
    for (int64_t i = 0; i < group.n_rows; ++i) {
      throw_if_stopped(/*resumable=*/false);
      const std::string where = fmt::format("{} row {}", file_.path(), ++row_);
      const Json record = assembler.next(where);
      require_left(assembler.record_bytes());
      const double read = static_cast<double>(row_) / static_cast<double>(n_rows_);
      if (!visit_({record, where, read, schema_.unwanted})) return false;
    }
    assembler.require_end();
    return true;
  }

  void require_left(int64_t bytes) {
    unpacked_left_ -= bytes;
    if (unpacked_left_ >= 0) return;
    refuse("PARQUET_LIMIT", file_.path(),
           fmt::format("its records must take at most {} bytes, found more",
                       kAlwaysUnpacked + file_.size() * kMaxUnpacking),
           kWriteLines);
  }

  const InputFile& file_;
  const Visit& visit_;
  Footer footer_;
  Schema schema_;
  int64_t unpacked_left_;
  int64_t row_ = 0;
  int64_t n_rows_ = 0;
};

}  // namespace

void visit_records(const std::string& path, const Visit& visit,
                   const std::vector<std::string>& columns) {
  const InputFile file(path);
  RowGroups(file, visit, columns).read();
}

}  // namespace regroup::parquet
