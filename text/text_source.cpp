#include "regroup/text/text_source.h"

#include <fmt/format.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <array>
#include <new>
#include <string_view>
#include <vector>

#include "regroup/base/error.h"
#include "regroup/base/input_file.h"
#include "regroup/base/placeholder.h"
#include "regroup/base/printable.h"

namespace regroup {

struct TextSource::Stream {
  virtual ~Stream() = default;
  virtual size_t read(std::span<std::byte> out) = 0;
  virtual double share() const = 0;
};

namespace {

constexpr size_t kInputBytes = size_t{1} << 18;

[[noreturn]] void refuse(const std::string& path, const std::string& message,
                         const std::string& hint) {
  throw CheckpointError(
      {.code = "TEXT_COMPRESSED", .message = message, .path = path, .hint = hint});
}

[[noreturn]] void refuse_unfinished(const std::string& path, const char* kind) {
  refuse(path, fmt::format("ends in the middle of its {} data", kind),
         "the file is incomplete; fetch it again");
}

[[noreturn]] void refuse_damaged(const std::string& path, const char* kind, const char* reason) {
  refuse(path, fmt::format("its {} data is damaged: {}", kind, printable(reason)),
         "fetch the file again");
}

class PlainStream : public TextSource::Stream {
 public:
  explicit PlainStream(InputFile file) : file_(std::move(file)) {}
  size_t read(std::span<std::byte> out) override {
    const auto left = static_cast<size_t>(file_.size() - at_);
    const size_t n = std::min(out.size(), left);
    file_.read(at_, out.first(n));
    at_ += static_cast<int64_t>(n);
    return n;
  }
  double share() const override {
    return file_.size() > 0 ? static_cast<double>(at_) / static_cast<double>(file_.size()) : 1;
  }
  const std::string& path() const { return file_.path(); }

 private:
  InputFile file_;
  int64_t at_ = 0;
};

/// The compressed bytes, a block at a time.
class Blocks {
 public:
  explicit Blocks(InputFile file) : file_(std::move(file)), block_(kInputBytes) {}
  /// The next block, empty at the end of the file.
  std::span<std::byte> next() { return std::span(block_).first(file_.read(block_)); }
  double share() const { return file_.share(); }
  const std::string& path() const { return file_.path(); }

 private:
  PlainStream file_;
  std::vector<std::byte> block_;
};

class GzipStream : public TextSource::Stream {
 public:
  explicit GzipStream(InputFile file) : blocks_(std::move(file)) {
    constexpr int kGzipOnly = 16 + MAX_WBITS;
    if (inflateInit2(&state_, kGzipOnly) != Z_OK) throw std::bad_alloc();
  }
  ~GzipStream() override { inflateEnd(&state_); }

  size_t read(std::span<std::byte> out) override {
    state_.next_out = reinterpret_cast<Bytef*>(out.data());
    state_.avail_out = static_cast<uInt>(std::min<size_t>(out.size(), UINT32_MAX));
    const uInt room = state_.avail_out;
    while (state_.avail_out == room && fill()) inflate_some();
    return room - state_.avail_out;
  }
  double share() const override { return blocks_.share(); }

 private:
  /// False at the end of the file, which must be the end of a member too.
  bool fill() {
    if (state_.avail_in > 0) return true;
    const std::span<std::byte> block = blocks_.next();
    state_.next_in = reinterpret_cast<Bytef*>(block.data());
    state_.avail_in = static_cast<uInt>(block.size());
    if (block.empty() && in_member_) refuse_unfinished(blocks_.path(), "gzip");
    return !block.empty();
  }

  void inflate_some() {
    if (!in_member_ && after_first_ && skip_padding()) return;
    in_member_ = true;
    const int status = inflate(&state_, Z_NO_FLUSH);
    if (status == Z_STREAM_END) {  // a file may hold several members
      inflateReset(&state_);
      in_member_ = false;
      after_first_ = true;
    } else if (status != Z_OK && status != Z_BUF_ERROR) {
      refuse_damaged(blocks_.path(), "gzip", state_.msg != nullptr ? state_.msg : "no gzip header");
    }
  }

  /// Zeros behind the last member are padding of tapes and blocks.
  bool skip_padding() {
    while (state_.avail_in > 0 && *state_.next_in == 0) {
      ++state_.next_in;
      --state_.avail_in;
    }
    return state_.avail_in == 0;
  }

  Blocks blocks_;
  z_stream state_ = {};
  bool in_member_ = true;
  bool after_first_ = false;
};

class ZstdStream : public TextSource::Stream {
 public:
  explicit ZstdStream(InputFile file) : blocks_(std::move(file)), state_(ZSTD_createDStream()) {
    if (state_ == nullptr) throw std::bad_alloc();
  }
  ~ZstdStream() override { ZSTD_freeDStream(state_); }

  size_t read(std::span<std::byte> out) override {
    ZSTD_outBuffer to{out.data(), out.size(), 0};
    while (to.pos == 0 && (flushing_ || fill())) {
      const size_t left = ZSTD_decompressStream(state_, &to, &from_);
      if (ZSTD_isError(left) != 0) refuse_frame(left);
      in_frame_ = left != 0;
      flushing_ = in_frame_ && to.pos == to.size;  // there may be more of what was read
    }
    return to.pos;
  }
  double share() const override { return blocks_.share(); }

 private:
  [[noreturn]] void refuse_frame(size_t error) {
    if (ZSTD_getErrorCode(error) == ZSTD_error_frameParameter_windowTooLarge) {
      refuse(blocks_.path(), "its zstd data needs more than 128 MiB to be undone (zstd --long)",
             "unpack it with zstd -d --long=31");
    }
    refuse_damaged(blocks_.path(), "zstd", ZSTD_getErrorName(error));
  }

  bool fill() {
    if (from_.pos < from_.size) return true;
    const std::span<std::byte> block = blocks_.next();
    from_ = {block.data(), block.size(), 0};
    if (block.empty() && in_frame_) refuse_unfinished(blocks_.path(), "zstd");
    return !block.empty();
  }

  Blocks blocks_;
  ZSTD_DStream* state_;
  ZSTD_inBuffer from_ = {nullptr, 0, 0};
  bool in_frame_ = true;
  bool flushing_ = false;
};

/// Kinds of files that are no text, by their first bytes.
struct OtherKind {
  std::string_view start;
  const char* what;
  const char* hint;
};
constexpr auto kOtherKinds = std::to_array<OtherKind>({
    {"BZh", "bzip2 data", "unpack it with bunzip2, or pack it with gzip or zstd"},
    {{"\xFD\x37zXZ\0", 6}, "xz data", "unpack it with unxz, or pack it with gzip or zstd"},
    {"\x04\x22\x4D\x18", "lz4 data", "unpack it with lz4 -d, or pack it with gzip or zstd"},
    {"PK\x03\x04", "a ZIP archive", "unpack it, and name the text files in it"},
    {"PAR1", "a Parquet file", "give it a name that ends in .parquet"},
    {"ARROW1", "an Arrow file", "write its text as JSON lines, as datasets' to_json() does"},
});

std::string first_bytes(const InputFile& file) {
  std::string start(static_cast<size_t>(std::min<int64_t>(file.size(), 32)), '\0');
  file.read(0, std::as_writable_bytes(std::span(start)));
  return start;
}

/// A frame of zstd, or one to be skipped, as seekable files begin.
bool is_zstd(std::string_view start) {
  return start.starts_with("\x28\xB5\x2F\xFD") ||
         (start.size() >= 4 && (start[0] & 0xF0) == 0x50 && start.substr(1, 3) == "\x2A\x4D\x18");
}

std::unique_ptr<TextSource::Stream> open_stream(const std::string& path) {
  InputFile file(path);
  const std::string start = first_bytes(file);
  if (start.starts_with("\x1F\x8B")) return std::make_unique<GzipStream>(std::move(file));
  if (is_zstd(start)) return std::make_unique<ZstdStream>(std::move(file));
  if (const auto found = find_placeholder(start); found && !start.starts_with('<')) {
    refuse(path, fmt::format("must be text, but this is {}", found->what), found->hint);
  }
  for (const OtherKind& kind : kOtherKinds) {
    if (start.starts_with(kind.start)) {
      refuse(path, fmt::format("must be text, but this is {}", kind.what), kind.hint);
    }
  }
  if (file.size() > 0 && path != without_compression(path)) {
    const char* kind = path.ends_with(".gz") ? "gzip" : "zstd";
    refuse(path, fmt::format("must be {} data, as its name says, found other bytes", kind),
           "rename it if it was unpacked, else fetch it again");
  }
  return std::make_unique<PlainStream>(std::move(file));
}

}  // namespace

std::string without_compression(const std::string& path) {
  for (const std::string_view extension : {".gz", ".zst"}) {
    if (path.ends_with(extension)) return path.substr(0, path.size() - extension.size());
  }
  return path;
}

TextSource::TextSource(const std::string& path) : stream_(open_stream(path)) {}
TextSource::TextSource(TextSource&&) noexcept = default;
TextSource::~TextSource() = default;

size_t TextSource::read(std::span<std::byte> out) { return stream_->read(out); }
double TextSource::share() const { return stream_->share(); }

}  // namespace regroup
