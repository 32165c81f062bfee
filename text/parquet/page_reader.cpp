#include "page_reader.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <span>

#include "little_endian.h"
#include "page_codec.h"
#include "parquet_errors.h"
#include "thrift_compact.h"

namespace regroup::parquet {
namespace {

constexpr int64_t kMaxPage = 256 << 20;  // bytes
constexpr int64_t kMaxPageNumber = std::numeric_limits<int32_t>::max();
constexpr int32_t kLevelsInRle = 3;

}  // namespace

/// PageHeader of parquet.thrift, with the header of the kind that the page is of.
struct PageReader::Header {
  enum Kind : int64_t { kData = 0, kIndex = 1, kDictionary = 2, kDataV2 = 3 };
  int64_t kind = -1;
  int64_t unpacked = -1;  // bytes, levels of v2 too
  int64_t packed = -1;
  std::optional<uint32_t> checksum;
  bool is_described = false;
  int64_t n_values = 0;
  int64_t encoding = 0;
  int64_t definition_encoding = kLevelsInRle;
  int64_t repetition_encoding = kLevelsInRle;
  int64_t definition_bytes = 0;  // of v2
  int64_t repetition_bytes = 0;
  bool is_compressed = true;

  /// Field `id` of DataPageHeader, DictionaryPageHeader or DataPageHeaderV2.
  bool read_kind(ThriftReader& thrift, ThriftField field) {
    int64_t* number = nullptr;
    if (field.id == 1) number = &n_values;
    if (kind != kDataV2 && field.id == 2) number = &encoding;
    if (kind == kData && field.id == 3) number = &definition_encoding;
    if (kind == kData && field.id == 4) number = &repetition_encoding;
    if (kind == kDataV2 && field.id == 4) number = &encoding;
    if (kind == kDataV2 && field.id == 5) number = &definition_bytes;
    if (kind == kDataV2 && field.id == 6) number = &repetition_bytes;
    if (number != nullptr) {
      *number = thrift.integer(field, 0, kMaxPageNumber);
      return true;
    }
    if (kind != kDataV2 || field.id != 7) return false;
    is_compressed = thrift.boolean(field);
    return true;
  }

  bool read(ThriftReader& thrift, ThriftField field) {
    constexpr int64_t kMin = std::numeric_limits<int32_t>::min();
    switch (field.id) {
      case 1:
        kind = thrift.integer(field, 0, kMaxPageNumber);
        return true;
      case 2:
        unpacked = thrift.integer(field, 0, kMaxPageNumber);
        return true;
      case 3:
        packed = thrift.integer(field, 0, kMaxPageNumber);
        return true;
      case 4:
        checksum = static_cast<uint32_t>(thrift.integer(field, kMin, kMaxPageNumber));
        return true;
      default:
        break;
    }
    const int32_t described = kind == kDataV2 ? 8 : kind == kDictionary ? 7 : 5;
    if (field.id != described || field.type != ThriftType::kStruct) return false;
    thrift.structure([&](ThriftField inner) { return read_kind(thrift, inner); });
    is_described = true;
    return true;
  }
};

PageReader::Header PageReader::read_header() {
  ThriftReader thrift(file_, at_, end_, "PARQUET_PAGE", place_);
  Header header;
  thrift.structure([&](ThriftField field) { return header.read(thrift, field); });
  if (header.kind < 0 || header.unpacked < 0 || header.packed < 0) {
    thrift.fail("each of its pages must say its kind and its sizes");
  }
  at_ = thrift.position();
  if (header.packed > left()) {
    thrift.fail(fmt::format("a page must lie in front of the footer, found {} bytes of {}", left(),
                            header.packed));
  }
  return header;
}

std::string PageReader::read_body(const Header& header) const {
  if (header.packed > kMaxPage || header.unpacked > kMaxPage) {
    refuse("PARQUET_LIMIT", place_,
           fmt::format("a page must have at most {} bytes, found {}", kMaxPage,
                       std::max(header.packed, header.unpacked)),
           kWriteLines);
  }
  std::string body(static_cast<size_t>(header.packed), '\0');
  file_.read(at_, std::as_writable_bytes(std::span(body)));
  const auto* begin = reinterpret_cast<const Bytef*>(body.data());
  const bool is_wrong =
      header.checksum && crc32(0, begin, static_cast<uInt>(body.size())) != *header.checksum;
  if (is_wrong) refuse("PARQUET_CHECKSUM", place_, "a page must have the checksum it says");
  return body;
}

Page PageReader::next() {
  for (;;) {
    const Header header = read_header();
    const bool holds_values = header.kind == Header::kData || header.kind == Header::kDataV2 ||
                              header.kind == Header::kDictionary;
    std::string body = holds_values ? read_body(header) : std::string();
    at_ += header.packed;
    if (holds_values) return open(header, std::move(body));
  }
}

Page PageReader::open(const Header& header, std::string body) const {
  if (!header.is_described) refuse("PARQUET_PAGE", place_, "a page must say what it holds");
  Page page;
  page.is_dictionary = header.kind == Header::kDictionary;
  page.n_values = header.n_values;
  page.encoding = static_cast<int32_t>(header.encoding);
  if (header.kind != Header::kDataV2) {
    page.bytes = unpack_page(codec_, body, static_cast<size_t>(header.unpacked), place_);
    if (!page.is_dictionary) open_v1(header, page);
    return page;
  }
  const int64_t levels = header.repetition_bytes + header.definition_bytes;  // not packed
  if (levels > header.packed || levels > header.unpacked) {
    refuse("PARQUET_PAGE", place_, "the levels of a page must lie in it");
  }
  const std::string_view packed = std::string_view(body).substr(static_cast<size_t>(levels));
  const auto unpacked = static_cast<size_t>(header.unpacked - levels);
  // Where all values are null, some writers pack nothing and some write nothing.
  const int32_t codec = header.is_compressed && !(packed.empty() && unpacked == 0) ? codec_ : 0;
  const std::string values = unpack_page(codec, packed, unpacked, place_);
  page.repetition_end = page.definition_begin = static_cast<size_t>(header.repetition_bytes);
  page.definition_end = static_cast<size_t>(levels);
  body.resize(page.definition_end);
  page.bytes = std::move(body) + values;
  return page;
}

void PageReader::open_v1(const Header& header, Page& page) const {
  size_t at = 0;
  if (leaf_.max_repetition > 0) {
    page.repetition_begin = 4;
    at = page.repetition_end =
        find_levels(page, at, static_cast<int32_t>(header.repetition_encoding));
  }
  page.definition_begin = page.definition_end = at;
  if (leaf_.max_definition > 0) {
    page.definition_begin = at + 4;
    page.definition_end = find_levels(page, at, static_cast<int32_t>(header.definition_encoding));
  }
}

/// Levels of v1 at `at`, behind four bytes of their length. @return where they end
size_t PageReader::find_levels(const Page& page, size_t at, int32_t encoding) const {
  if (encoding != kLevelsInRle) {
    refuse_unsupported(
        place_, fmt::format("must have its levels in RLE, found {}",
                            encoding == 4 ? "BIT_PACKED" : fmt::format("encoding {}", encoding)));
  }
  const size_t left = page.bytes.size() - at;
  const size_t bytes =
      left < 4 ? 0 : static_cast<size_t>(load_little(std::string_view(page.bytes).substr(at, 4)));
  if (left < 4 || bytes > left - 4) {
    refuse("PARQUET_PAGE", place_, "the levels of a page must lie in it");
  }
  return at + 4 + bytes;
}

}  // namespace regroup::parquet
