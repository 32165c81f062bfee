#include "footer_place.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <string>
#include <string_view>

#include "little_endian.h"
#include "parquet_errors.h"
#include "regroup/base/placeholder.h"
#include "regroup/base/printable.h"

namespace regroup::parquet {
namespace {

constexpr int64_t kMaxFooter = 16 << 20;
constexpr std::string_view kMagic = "PAR1";
constexpr std::string_view kEncryptedMagic = "PARE";
constexpr int64_t kTailBytes = 8;  // the length of the footer and the magic

std::string bytes_at(const InputFile& file, int64_t offset, int64_t count) {
  std::string bytes(static_cast<size_t>(count), '\0');
  file.read(offset, std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

void require_start(const InputFile& file) {
  const std::string start = bytes_at(file, 0, std::min<int64_t>(file.size(), 32));
  if (start.starts_with(kMagic) || start.starts_with(kEncryptedMagic)) return;
  if (const auto found = find_placeholder(start)) {
    refuse("PARQUET_MAGIC", file.path(),
           fmt::format("must be Parquet, but this is {}", found->what), found->hint);
  }
  refuse("PARQUET_MAGIC", file.path(),
         fmt::format("must be Parquet and begin with PAR1, found \"{}\"",
                     printable(start.substr(0, 4))),
         "give it the name of what it is, or fetch it again");
}

}  // namespace

FooterPlace find_footer(const InputFile& file) {
  require_start(file);
  const int64_t smallest = static_cast<int64_t>(kMagic.size()) + kTailBytes;
  const std::string tail =
      file.size() < smallest ? std::string() : bytes_at(file, file.size() - kTailBytes, kTailBytes);
  if (tail.ends_with(kEncryptedMagic)) {
    refuse_unsupported(file.path(), "must not be encrypted, found an encrypted footer");
  }
  if (!tail.ends_with(kMagic)) {
    refuse("PARQUET_MAGIC", file.path(), "must end with PAR1, as a whole Parquet file does");
  }
  const auto bytes = static_cast<int64_t>(load_little(std::string_view(tail).substr(0, 4)));
  if (bytes > file.size() - smallest) {
    refuse("PARQUET_FOOTER", file.path(),
           fmt::format("its footer must lie in the file, found a length of {} bytes", bytes));
  }
  if (bytes > kMaxFooter) {
    refuse("PARQUET_FOOTER", file.path(),
           fmt::format("its footer must have at most {} bytes, found {}", kMaxFooter, bytes),
           kWriteLines);
  }
  const int64_t end = file.size() - kTailBytes;
  return {.begin = end - bytes, .end = end};
}

}  // namespace regroup::parquet
