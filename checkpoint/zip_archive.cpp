#include "zip_archive.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <set>
#include <span>
#include <string_view>
#include <tuple>

#include "regroup/base/error.h"
#include "regroup/base/printable.h"
#include "regroup/base/utf8.h"

namespace regroup {
namespace {

constexpr int64_t kMaxEntries = 100'000;
constexpr int64_t kMaxDirectoryBytes = 64 << 20;
constexpr int64_t kEndBytes = 22;
constexpr int64_t kMaxComment = 65535;
constexpr int64_t kLocatorBytes = 20;
constexpr int64_t kEnd64Bytes = 56;
constexpr size_t kEntryBytes = 46;
constexpr size_t kLocalBytes = 30;
constexpr uint32_t kSeeZip64 = 0xFFFFFFFF;

[[noreturn]] void refuse(const InputFile& file, const std::string& message,
                         const char* code = "ZIP_STRUCT") {
  throw CheckpointError({.code = code,
                         .message = "as a ZIP archive it " + message,
                         .path = file.path(),
                         .hint = "the download may be incomplete; fetch the file again"});
}

/// Little-endian numbers of a record.
class Record {
 public:
  explicit Record(std::string_view bytes) : bytes_(bytes) {}
  bool starts_with(std::string_view mark) const { return bytes_.starts_with(mark); }
  uint16_t u16(size_t at) const { return number<uint16_t>(at); }
  uint32_t u32(size_t at) const { return number<uint32_t>(at); }
  uint64_t u64(size_t at) const { return number<uint64_t>(at); }
  std::string_view text(size_t at, size_t size) const { return bytes_.substr(at, size); }
  size_t size() const { return bytes_.size(); }

 private:
  template <typename T>
  T number(size_t at) const {
    T value{};
    std::memcpy(&value, bytes_.substr(at, sizeof value).data(), sizeof value);
    return value;
  }
  std::string_view bytes_;
};

std::string bytes_at(const InputFile& file, int64_t offset, int64_t count) {
  std::string bytes(static_cast<size_t>(count), '\0');
  file.read(offset, std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

struct Directory {
  int64_t begin = 0;
  int64_t bytes = 0;
  int64_t entries = 0;
};

/// A number of 64 bits that must lie in [0, max].
int64_t bounded(const InputFile& file, uint64_t value, int64_t max, const char* what) {
  if (max < 0 || value > static_cast<uint64_t>(max)) {
    refuse(file, fmt::format("must have {} of at most {}, found {}", what, max, value));
  }
  return static_cast<int64_t>(value);
}

/// What a ZIP64 record says of the directory.
struct Zip64End {
  uint64_t entries;
  uint64_t bytes;
  uint64_t begin;
};

/// The record that a locator in front of the end record names.
std::optional<Zip64End> find_zip64(const InputFile& file, int64_t end_at) {
  if (end_at < kLocatorBytes) return std::nullopt;
  const std::string locator = bytes_at(file, end_at - kLocatorBytes, kLocatorBytes);
  if (!locator.starts_with("PK\6\7")) return std::nullopt;
  const int64_t at =
      bounded(file, Record(locator).u64(8), end_at - kLocatorBytes - kEnd64Bytes, "an offset");
  const std::string bytes = bytes_at(file, at, kEnd64Bytes);
  if (!bytes.starts_with("PK\6\6")) refuse(file, "must have a ZIP64 directory, found none");
  const Record record(bytes);
  return Zip64End{.entries = record.u64(32), .bytes = record.u64(40), .begin = record.u64(48)};
}

/// Readers disagree about which of the two counts where they differ.
uint64_t wide_or_same(const InputFile& file, uint64_t plain, uint64_t full, uint64_t wide) {
  if (plain != full && plain != wide) {
    refuse(file, fmt::format("says {} of its directory at its end and {} in its ZIP64 record",
                             plain, wide));
  }
  return wide;
}

Directory find_directory(const InputFile& file) {
  const int64_t tail_bytes = std::min(file.size(), kEndBytes + kMaxComment);
  const int64_t tail_begin = file.size() - tail_bytes;
  const std::string tail = bytes_at(file, tail_begin, tail_bytes);
  const size_t found = tail_bytes < kEndBytes ? std::string::npos : tail.rfind("PK\5\6");
  if (found == std::string::npos || tail.size() - found < static_cast<size_t>(kEndBytes)) {
    refuse(file, "must end in a directory, found none");
  }
  const Record end(std::string_view(tail).substr(found));
  uint64_t entries = end.u16(10);
  uint64_t bytes = end.u32(12);
  uint64_t begin = end.u32(16);
  const int64_t end_at = tail_begin + static_cast<int64_t>(found);
  if (const auto large = find_zip64(file, end_at)) {
    entries = wide_or_same(file, entries, 0xFFFF, large->entries);
    bytes = wide_or_same(file, bytes, kSeeZip64, large->bytes);
    begin = wide_or_same(file, begin, kSeeZip64, large->begin);
  } else if (entries == 0xFFFF || bytes == kSeeZip64 || begin == kSeeZip64) {
    refuse(file, "must have a ZIP64 directory, found none");
  }
  if (entries > static_cast<uint64_t>(kMaxEntries)) {
    refuse(file, fmt::format("must have at most {} files, found {}", kMaxEntries, entries),
           "ZIP_LIMIT");
  }
  Directory directory{.entries = static_cast<int64_t>(entries)};
  directory.bytes = bounded(file, bytes, std::min(kMaxDirectoryBytes, end_at), "a directory");
  directory.begin = bounded(file, begin, end_at - directory.bytes, "a directory's offset");
  return directory;
}

/// Sizes and place of an entry whose record says that its extra field has them.
struct Wide {
  uint64_t unpacked;
  uint64_t packed;
  uint64_t local;
};

void read_zip64(const InputFile& file, Record extra, Wide& wide) {
  for (size_t at = 0; at + 4 <= extra.size();) {
    const size_t size = extra.u16(at + 2);
    if (at + 4 + size > extra.size()) break;
    if (extra.u16(at) == 1) {
      const Record values(extra.text(at + 4, size));
      size_t next = 0;
      for (uint64_t* value : {&wide.unpacked, &wide.packed, &wide.local}) {
        if (*value != kSeeZip64) continue;
        if (next + 8 > values.size()) refuse(file, "has a ZIP64 field that is too short");
        *value = values.u64(next);
        next += 8;
      }
      return;
    }
    at += 4 + size;
  }
  if (wide.unpacked == kSeeZip64 || wide.packed == kSeeZip64 || wide.local == kSeeZip64) {
    refuse(file, "has a file without its ZIP64 field");
  }
}

/// Neither packed nor encrypted.
bool is_stored(uint16_t flags, uint16_t method) { return method == 0 && (flags & 1) == 0; }

/// A file's record in the directory; the local header in front of its bytes must agree.
ZipEntry read_entry(const InputFile& file, const Record& record, const Directory& directory) {
  const size_t name_bytes = record.u16(28);
  ZipEntry entry{.name = std::string(record.text(kEntryBytes, name_bytes)), .crc = record.u32(16)};
  if (name_bytes == 0 || entry.name.find('\0') != std::string::npos || !is_utf8(entry.name)) {
    refuse(file, fmt::format("must give its files names, found \"{}\"", printable(entry.name, 60)),
           "ZIP_NAME");
  }
  entry.is_stored = is_stored(record.u16(8), record.u16(10));
  Wide wide{.unpacked = record.u32(24), .packed = record.u32(20), .local = record.u32(42)};
  read_zip64(file, Record(record.text(kEntryBytes + name_bytes, record.u16(30))), wide);
  const int64_t local_at = bounded(
      file, wide.local, directory.begin - static_cast<int64_t>(kLocalBytes + name_bytes), "a file");
  const std::string bytes =
      bytes_at(file, local_at, static_cast<int64_t>(kLocalBytes + name_bytes));
  const Record local(bytes);
  const bool agrees = local.starts_with("PK\3\4") && local.u16(26) == name_bytes &&
                      local.text(kLocalBytes, name_bytes) == entry.name &&
                      entry.is_stored == is_stored(local.u16(6), local.u16(8)) &&
                      (!entry.is_stored || wide.packed == wide.unpacked);
  if (!agrees) {
    refuse(file, fmt::format("says of {} one thing in its directory and another in front of it",
                             printable(entry.name, 100)));
  }
  entry.begin = local_at + static_cast<int64_t>(kLocalBytes + name_bytes + local.u16(28));
  entry.bytes =
      bounded(file, wide.packed, std::max<int64_t>(0, directory.begin - entry.begin), "a file");
  return entry;
}

void require_apart(const InputFile& file, const std::vector<ZipEntry>& entries) {
  std::set<std::string_view> names;
  int64_t end = 0;
  for (const ZipEntry& entry : entries) {
    if (!names.insert(entry.name).second) {
      refuse(file, fmt::format("has two files called {}", printable(entry.name, 100)), "ZIP_NAME");
    }
    if (entry.begin < end) {
      refuse(file, fmt::format("must hold each file by itself, but {} begins in another",
                               printable(entry.name, 100)));
    }
    end = entry.begin + entry.bytes;
  }
}

}  // namespace

std::vector<ZipEntry> read_zip_entries(const InputFile& file) {
  const Directory directory = find_directory(file);
  const std::string bytes = bytes_at(file, directory.begin, directory.bytes);
  std::vector<ZipEntry> entries;
  size_t at = 0;
  for (int64_t i = 0; i < directory.entries; ++i) {
    const Record record(std::string_view(bytes).substr(at));
    if (record.size() < kEntryBytes || !record.starts_with("PK\1\2")) {
      refuse(file, fmt::format("must list {} files, found {}", directory.entries, i));
    }
    const size_t size = kEntryBytes + record.u16(28) + record.u16(30) + record.u16(32);
    if (record.size() < size) refuse(file, "ends inside its directory");
    entries.push_back(read_entry(file, record, directory));
    at += size;
  }
  std::sort(entries.begin(), entries.end(), [](const ZipEntry& a, const ZipEntry& b) {
    return std::tie(a.begin, a.bytes) < std::tie(b.begin, b.bytes);
  });
  require_apart(file, entries);
  return entries;
}

bool has_checksums(const std::vector<ZipEntry>& entries) {
  return std::any_of(entries.begin(), entries.end(),
                     [](const ZipEntry& entry) { return entry.crc != 0; });
}

}  // namespace regroup
