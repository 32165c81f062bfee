#include "page_codec.h"

#include <fmt/format.h>
#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>

#include <array>
#include <new>

#include "parquet_errors.h"

namespace regroup::parquet {
namespace {

[[noreturn]] void refuse_packed(const std::string& place, const char* kind,
                                const std::string& found) {
  refuse("PARQUET_COMPRESSED", place, fmt::format("its {} data is damaged: {}", kind, found));
}

void require_unpacked(size_t got, size_t wanted, const std::string& place, const char* kind) {
  if (got == wanted) return;
  refuse_packed(place, kind, fmt::format("{} bytes were promised, others came out", wanted));
}

/// No more comes out of a byte than `growth`, whatever a header promises: nothing is allocated on its word alone.
void require_possible(std::string_view packed, size_t unpacked, size_t growth,
                      const std::string& place, const char* kind) {
  if (unpacked <= (packed.size() + 64) * growth) return;
  refuse_packed(place, kind, fmt::format("{} bytes cannot become {}", packed.size(), unpacked));
}

std::string unpack_snappy(std::string_view packed, size_t unpacked, const std::string& place) {
  constexpr size_t kGrowth = 32;  // 64 bytes out of 3
  size_t promised = 0;
  if (snappy_uncompressed_length(packed.data(), packed.size(), &promised) != SNAPPY_OK) {
    refuse_packed(place, "Snappy", "it has no length");
  }
  require_unpacked(promised, unpacked, place, "Snappy");
  require_possible(packed, unpacked, kGrowth, place, "Snappy");
  std::string bytes(unpacked, '\0');
  if (snappy_uncompress(packed.data(), packed.size(), bytes.data(), &promised) != SNAPPY_OK) {
    refuse_packed(place, "Snappy", "it refers to what is not there");
  }
  return bytes;
}

/// Undoes gzip and zlib, several members behind each other too.
class Inflater {
 public:
  Inflater() {
    constexpr int kEitherHeader = 32 + MAX_WBITS;
    if (inflateInit2(&state_, kEitherHeader) != Z_OK) throw std::bad_alloc();
  }
  ~Inflater() { inflateEnd(&state_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  /// @return false where the data is damaged, or more or less comes out than `bytes` holds
  bool fill(std::string_view packed, std::string& bytes) {
    // zlib reads through a pointer that is not const; it does not write there.
    state_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
    state_.avail_in = static_cast<uInt>(packed.size());
    state_.next_out = reinterpret_cast<Bytef*>(bytes.data());
    state_.avail_out = static_cast<uInt>(bytes.size());
    while (state_.avail_in > 0) {
      if (inflate(&state_, Z_FINISH) != Z_STREAM_END) return false;
      inflateReset(&state_);
    }
    return state_.avail_out == 0;
  }

 private:
  z_stream state_ = {};
};

std::string unpack_gzip(std::string_view packed, size_t unpacked, const std::string& place) {
  constexpr size_t kGrowth = 1040;  // 258 bytes out of 2 bits
  require_possible(packed, unpacked, kGrowth, place, "gzip");
  std::string bytes(unpacked, '\0');
  if (!Inflater().fill(packed, bytes)) {
    refuse_packed(place, "gzip", fmt::format("it does not become {} bytes", unpacked));
  }
  return bytes;
}

std::string unpack_zstd(std::string_view packed, size_t unpacked, const std::string& place) {
  constexpr size_t kGrowth = size_t{1} << 16;  // a block of 128 KiB out of 4 bytes
  require_possible(packed, unpacked, kGrowth, place, "zstd");
  std::string bytes(unpacked, '\0');
  const size_t got = ZSTD_decompress(bytes.data(), bytes.size(), packed.data(), packed.size());
  if (ZSTD_isError(got) != 0) refuse_packed(place, "zstd", ZSTD_getErrorName(got));
  require_unpacked(got, unpacked, place, "zstd");
  return bytes;
}

}  // namespace

std::string unpack_page(int32_t codec, std::string_view packed, size_t unpacked,
                        const std::string& place) {
  constexpr auto kNames = std::to_array<const char*>(
      {"UNCOMPRESSED", "SNAPPY", "GZIP", "LZO", "BROTLI", "LZ4", "ZSTD", "LZ4_RAW"});
  switch (codec) {
    case 0:
      require_unpacked(packed.size(), unpacked, place, "uncompressed");
      return std::string(packed);
    case 1:
      return unpack_snappy(packed, unpacked, place);
    case 2:
      return unpack_gzip(packed, unpacked, place);
    case 6:
      return unpack_zstd(packed, unpacked, place);
    default:
      break;
  }
  const bool is_known = codec >= 0 && static_cast<size_t>(codec) < kNames.size();
  refuse_unsupported(
      place,
      fmt::format("must be packed with SNAPPY, GZIP or ZSTD, or not at all, found {}",
                  is_known ? kNames[static_cast<size_t>(codec)] : fmt::format("codec {}", codec)));
}

}  // namespace regroup::parquet
