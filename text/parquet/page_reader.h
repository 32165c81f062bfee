#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "parquet_footer.h"
#include "parquet_schema.h"
#include "regroup/base/input_file.h"

namespace regroup::parquet {

/// A page, unpacked.
class Page {
 public:
  bool is_dictionary = false;
  int64_t n_values = 0;
  int32_t encoding = 0;

  /// Levels in RLE hybrid, without the length in front; empty where the column has none.
  std::string_view repetition_levels() const { return part(repetition_begin, repetition_end); }
  std::string_view definition_levels() const { return part(definition_begin, definition_end); }
  std::string_view values() const { return part(definition_end, bytes.size()); }

  std::string bytes;
  size_t repetition_begin = 0;  // in `bytes`, as the three below
  size_t repetition_end = 0;
  size_t definition_begin = 0;
  size_t definition_end = 0;  // where the values begin

 private:
  std::string_view part(size_t begin, size_t end) const {
    return std::string_view(bytes).substr(begin, end - begin);
  }
};

/// The pages of one column of one row group, one after the other: data pages v1 and v2, and the dictionary.
class PageReader {
 public:
  /// @param end  the byte of the file that no page goes beyond
  PageReader(const InputFile& file, const Chunk& chunk, const Leaf& leaf, int64_t end,
             std::string place)
      : file_(file),
        codec_(chunk.codec),
        leaf_(leaf),
        at_(chunk.first_page),
        end_(end),
        place_(std::move(place)) {}

  /// The next page that holds values. Checksums are checked where they are there.
  /// @throws CheckpointError PARQUET_PAGE, PARQUET_COMPRESSED, PARQUET_CHECKSUM, PARQUET_LIMIT (a page of more than
  ///         256 MiB); UnsupportedError PARQUET_UNSUPPORTED
  Page next();
  /// Bytes of the file that follow the pages that were read.
  int64_t left() const { return end_ - at_; }

 private:
  struct Header;
  Header read_header();
  std::string read_body(const Header& header) const;
  Page open(const Header& header, std::string body) const;
  void open_v1(const Header& header, Page& page) const;
  size_t find_levels(const Page& page, size_t at, int32_t encoding) const;

  const InputFile& file_;
  int32_t codec_;
  const Leaf& leaf_;
  int64_t at_;
  int64_t end_;
  std::string place_;
};

}  // namespace regroup::parquet
