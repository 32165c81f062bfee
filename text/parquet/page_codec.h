#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace regroup::parquet {

/// Unpacks what a page holds: UNCOMPRESSED, SNAPPY, GZIP or ZSTD.
/// @param codec     CompressionCodec of parquet.thrift
/// @param unpacked  bytes that must come out, no more and no fewer
/// @throws CheckpointError PARQUET_COMPRESSED; UnsupportedError PARQUET_UNSUPPORTED for LZO, BROTLI, LZ4, LZ4_RAW
std::string unpack_page(int32_t codec, std::string_view packed, size_t unpacked,
                        const std::string& place);

}  // namespace regroup::parquet
