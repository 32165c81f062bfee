#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "page_reader.h"
#include "parquet_footer.h"
#include "parquet_schema.h"
#include "rle_hybrid.h"
#include "value_decoder.h"

namespace regroup::parquet {

/// What the pages of all columns may take at one time.
class PageMemory {
 public:
  /// @throws CheckpointError PARQUET_LIMIT beyond 1 GiB
  void exchange(int64_t before, int64_t now, const std::string& place);

 private:
  int64_t held_ = 0;
};

/// One column of one row group, entry by entry: a value, a null, or an empty list, with its levels. Memory holds
/// its dictionary and one page.
class ColumnReader {
 public:
  /// @param end  the byte of the file that no page goes beyond
  /// @throws CheckpointError PARQUET_*; UnsupportedError PARQUET_UNSUPPORTED; also from take() and pass()
  ColumnReader(const InputFile& file, const Chunk& chunk, const Leaf& leaf, int64_t end,
               PageMemory& memory);
  ColumnReader(const ColumnReader&) = delete;
  ColumnReader& operator=(const ColumnReader&) = delete;
  ~ColumnReader();

  bool is_at_end() const { return is_at_end_; }
  int repetition() const { return repetition_; }  ///< of the entry it stands at; 0 at the end
  int definition() const { return definition_; }
  /// The value it stands at; goes on to the next entry.
  Json take();
  /// Goes on from an entry whose definition level is below `definition`.
  void pass(int definition);
  const std::string& place() const { return place_; }

 private:
  void advance();
  void open_page();
  void open_data(Page page);
  void open_dictionary(Page page);
  void hold(int64_t bytes);
  int level(RleHybrid& levels, int max) const;
  [[noreturn]] void refuse_levels() const;

  const Leaf& leaf_;
  std::string place_;
  PageMemory& memory_;
  PageReader pages_;
  int64_t held_ = 0;
  std::optional<Dictionary> dictionary_;
  Page page_;
  std::unique_ptr<ValueDecoder> values_;
  RleHybrid repetition_levels_;
  RleHybrid definition_levels_;
  int64_t left_in_page_ = 0;
  int64_t left_ = 0;  // behind the page
  bool is_at_end_ = false;
  int repetition_ = 0;
  int definition_ = 0;
};

}  // namespace regroup::parquet
