// Event files as TensorBoard reads them. A record is: length (u64), masked CRC-32C of the length,
// bytes, masked CRC-32C of the bytes. The bytes are an Event in protobuf's wire format; the few fields
// needed are written by hand: 1 wall_time (double), 2 step (varint), 3 file_version (string),
// 5 summary { 1 value { 1 tag (string), 2 simple_value (float) } }, 7 session_log { 1 status }.
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "regroup/base/file_calls.h"
#include "regroup/base/folder.h"
#include "regroup/uptrain/metrics.h"

namespace regroup {
namespace {

/// CRC-32C (Castagnoli), reflected polynomial 0x82F63B78.
constexpr std::array<uint32_t, 256> make_crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t c = i;
    for (int bit = 0; bit < 8; ++bit) c = (c & 1u) != 0 ? 0x82F63B78u ^ c >> 1 : c >> 1;
    table[i] = c;
  }
  return table;
}
constexpr auto kCrcTable = make_crc_table();

uint32_t crc32c(const std::string& bytes) {
  uint32_t c = ~0u;
  for (const char byte : bytes)
    c = kCrcTable[(c ^ static_cast<unsigned char>(byte)) & 0xFFu] ^ c >> 8;
  return ~c;
}

uint32_t masked(uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xa282ead8u; }

template <typename T>
std::string raw(T value) {
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

std::string varint(uint64_t value) {
  std::string bytes;
  for (; value > 127; value >>= 7) bytes += static_cast<char>(value | 128u);
  return bytes += static_cast<char>(value);
}

std::string double_field(unsigned field, double value) {
  return varint(field << 3 | 1) + raw(value);
}
std::string float_field(unsigned field, float value) { return varint(field << 3 | 5) + raw(value); }
std::string varint_field(unsigned field, uint64_t value) {
  return varint(field << 3) + varint(value);
}
std::string bytes_field(unsigned field, const std::string& value) {
  return varint(field << 3 | 2) + varint(value.size()) + value;
}

double wall_time() { return static_cast<double>(std::time(nullptr)); }

constexpr uint64_t kSessionStart = 1;

}  // namespace

TensorBoardWriter::TensorBoardWriter(const std::string& folder, int64_t first_step) {
  make_folder(folder);
  path_ = fmt::format("{}/events.out.tfevents.{:010}.regroup.{}", folder, std::time(nullptr),
                      ::getpid());
  file_.reset(std::fopen(path_.c_str(), "abe"));
  if (!file_) throw_output_error(errno, "create", path_);
  record(double_field(1, wall_time()) + bytes_field(3, "brain.Event:2"));
  record(double_field(1, wall_time()) + varint_field(2, static_cast<uint64_t>(first_step)) +
         bytes_field(7, varint_field(1, kSessionStart)));
  flush();
}

void TensorBoardWriter::scalar(const std::string& tag, double value, int64_t step) {
  const std::string summary =
      bytes_field(1, bytes_field(1, tag) + float_field(2, static_cast<float>(value)));
  record(double_field(1, wall_time()) + varint_field(2, static_cast<uint64_t>(step)) +
         bytes_field(5, summary));
}

void TensorBoardWriter::flush() {
  if (std::fflush(file_.get()) != 0) throw_output_error(errno, "write", path_);
}

void TensorBoardWriter::record(const std::string& event) {
  const std::string length = raw(static_cast<uint64_t>(event.size()));
  const std::string framed =
      length + raw(masked(crc32c(length))) + event + raw(masked(crc32c(event)));
  if (std::fwrite(framed.data(), 1, framed.size(), file_.get()) != framed.size()) {
    throw_output_error(errno, "write", path_);
  }
}

}  // namespace regroup
