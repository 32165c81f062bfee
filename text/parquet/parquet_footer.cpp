#include "parquet_footer.h"

#include <fmt/format.h>

#include <limits>
#include <optional>

#include "footer_place.h"
#include "thrift_compact.h"

namespace regroup::parquet {
namespace {

constexpr int64_t kMaxElements = 10'000;
constexpr int64_t kMaxRows = 100'000'000;
constexpr int64_t kMaxInt32 = std::numeric_limits<int32_t>::max();
constexpr int64_t kMaxInt64 = std::numeric_limits<int64_t>::max();

/// ConvertedType of parquet.thrift, which old files have alone.
Meaning converted_meaning(int64_t number) {
  switch (number) {
    case 0:   // UTF8
    case 4:   // ENUM
    case 19:  // JSON
      return Meaning::kText;
    case 1:  // MAP
    case 2:  // MAP_KEY_VALUE
      return Meaning::kMap;
    case 3:  // LIST
      return Meaning::kList;
    case 11:  // UINT_8
    case 12:  // UINT_16
    case 13:  // UINT_32
    case 14:  // UINT_64
      return Meaning::kUnsigned;
    case 5:   // DECIMAL: its integer is another number
    case 20:  // BSON
    case 21:  // INTERVAL
      return Meaning::kOther;
    default:  // dates, times and signed integers
      return Meaning::kAsStored;
  }
}

class FooterReader {
 public:
  FooterReader(const InputFile& file, FooterPlace place)
      : file_(file), thrift_(file, place.begin, place.end, "PARQUET_FOOTER", file.path()) {
    footer_.pages_end = place.begin;
  }

  Footer read() {
    thrift_.structure([this](ThriftField field) { return read_field(field); });
    int64_t found = 0;
    for (const RowGroup& group : footer_.row_groups) {
      found += group.n_rows;
      if (found <= kMaxRows) continue;
      thrift_.fail(fmt::format("must hold at most {} rows, found more", kMaxRows));
    }
    if (found != n_rows_) {
      thrift_.fail(fmt::format("its row groups must hold {} rows, found {}", n_rows_, found));
    }
    return std::move(footer_);
  }

 private:
  bool read_field(ThriftField field) {
    switch (field.id) {
      case 2:
        thrift_.list(field, [this](ThriftField element) { add_element(element); });
        return true;
      case 3:
        n_rows_ = thrift_.integer(field, 0, kMaxInt64);
        return true;
      case 4:
        thrift_.list(field, [this](ThriftField element) { add_row_group(element); });
        return true;
      default:
        return false;
    }
  }

  void require_struct(ThriftField element) const {
    if (element.type == ThriftType::kStruct) return;
    thrift_.fail(fmt::format("field {} must hold structs", element.id));
  }

  void add_element(ThriftField list) {
    require_struct(list);
    if (static_cast<int64_t>(footer_.schema.size()) == kMaxElements) {
      thrift_.fail(
          fmt::format("must have at most {} columns and groups, found more", kMaxElements));
    }
    SchemaElement& element = footer_.schema.emplace_back();
    std::optional<Meaning> logical;
    thrift_.structure([&](ThriftField field) { return read_element(field, element, logical); });
    if (logical) element.meaning = *logical;
    if (element.name.empty()) thrift_.fail("must have a name for each column, found none");
  }

  bool read_element(ThriftField field, SchemaElement& element, std::optional<Meaning>& logical) {
    switch (field.id) {
      case 1:
        element.type = static_cast<PhysicalType>(thrift_.integer(field, 0, 7));
        return true;
      case 3:
        element.repetition = static_cast<Repetition>(thrift_.integer(field, 0, 2));
        return true;
      case 4:
        element.name = thrift_.text(field);
        return true;
      case 5:
        element.n_children = thrift_.integer(field, 0, kMaxElements);
        return true;
      case 6:
        element.meaning = converted_meaning(thrift_.integer(field, 0, kMaxInt32));
        return true;
      case 10:
        if (field.type != ThriftType::kStruct) return false;
        thrift_.structure([&](ThriftField kind) { return read_logical(kind, logical); });
        return true;
      default:
        return false;
    }
  }

  /// LogicalType: a struct of which one field is there, and its number says which.
  bool read_logical(ThriftField kind, std::optional<Meaning>& logical) {
    switch (kind.id) {
      case 1:   // STRING
      case 4:   // ENUM
      case 12:  // JSON
        logical = Meaning::kText;
        return false;
      case 2:
        logical = Meaning::kMap;
        return false;
      case 3:
        logical = Meaning::kList;
        return false;
      case 6:   // DATE
      case 7:   // TIME
      case 8:   // TIMESTAMP
      case 11:  // UNKNOWN: nulls alone
        logical = Meaning::kAsStored;
        return false;
      case 10:
        return read_integer_type(kind, logical);
      default:  // DECIMAL, BSON, UUID, FLOAT16, VARIANT, GEOMETRY and what is to come
        logical = Meaning::kOther;
        return false;
    }
  }

  bool read_integer_type(ThriftField kind, std::optional<Meaning>& logical) {
    if (kind.type != ThriftType::kStruct) return false;
    logical = Meaning::kAsStored;
    thrift_.structure([&](ThriftField field) {
      if (field.id != 2) return false;
      if (!thrift_.boolean(field)) logical = Meaning::kUnsigned;
      return true;
    });
    return true;
  }

  void add_row_group(ThriftField list) {
    require_struct(list);
    RowGroup group{.n_rows = -1, .chunks = {}};
    thrift_.structure([&](ThriftField field) {
      if (field.id == 1) {
        thrift_.list(field, [&](ThriftField element) { add_chunk(element, group); });
        return true;
      }
      if (field.id != 3) return false;
      group.n_rows = thrift_.integer(field, 0, kMaxInt64);
      return true;
    });
    if (group.n_rows < 0) thrift_.fail("must say how many rows each row group has");
    if (group.n_rows > kMaxRows) {
      thrift_.fail(fmt::format("must hold at most {} rows, found {}", kMaxRows, group.n_rows));
    }
    footer_.row_groups.push_back(std::move(group));
  }

  void add_chunk(ThriftField list, RowGroup& group) {
    require_struct(list);
    Chunk chunk;
    bool is_described = false;
    thrift_.structure([&](ThriftField field) {
      if (field.id == 3 && field.type == ThriftType::kStruct) {
        read_chunk(chunk);
        is_described = true;
        return true;
      }
      if (field.id == 1) chunk.is_elsewhere = true;
      if (field.id == 8) chunk.is_encrypted = true;
      return false;
    });
    if (!is_described && !chunk.is_encrypted) {
      thrift_.fail("must describe each column of each row group");
    }
    group.chunks.push_back(chunk);
  }

  /// ColumnMetaData.
  void read_chunk(Chunk& chunk) {
    int64_t data_page = 0;
    int64_t dictionary_page = 0;
    thrift_.structure([&](ThriftField field) {
      if (field.id == 1) chunk.type = static_cast<int32_t>(thrift_.integer(field, 0, 7));
      if (field.id == 4) chunk.codec = static_cast<int32_t>(thrift_.integer(field, 0, kMaxInt32));
      if (field.id == 5) chunk.n_values = thrift_.integer(field, 0, kMaxInt64);
      if (field.id == 9) data_page = thrift_.integer(field, 0, kMaxInt64);
      if (field.id == 11) dictionary_page = thrift_.integer(field, 0, kMaxInt64);
      return field.id == 1 || field.id == 4 || field.id == 5 || field.id == 9 || field.id == 11;
    });
    // Some writers put 0 where there is no dictionary.
    const bool has_dictionary = dictionary_page > 0 && dictionary_page < data_page;
    chunk.first_page = has_dictionary ? dictionary_page : data_page;
    if (chunk.n_values > 0 && (chunk.first_page < 4 || chunk.first_page >= footer_.pages_end)) {
      thrift_.fail(fmt::format("its pages must lie in front of it, found one at byte {} of {}",
                               chunk.first_page, file_.size()));
    }
  }

  const InputFile& file_;
  ThriftReader thrift_;
  Footer footer_;
  int64_t n_rows_ = -1;
};

}  // namespace

Footer read_footer(const InputFile& file) {
  const FooterPlace place = find_footer(file);
  return FooterReader(file, place).read();
}

}  // namespace regroup::parquet
