#pragma once

#include <cstdint>
#include <string>

namespace regroup {

/// "80GiB", "1.5GB", "512M" -> bytes. K M G T are powers of 1000, Ki Mi Gi Ti of 1024; the B may be
/// left out. @throws ConfigError naming `flag` unless the value is positive and fits, and for a number
/// below 1 MiB without any unit
int64_t parse_size(const std::string& text, const std::string& flag);

/// "5M", "20e6", "614400" -> a count; k M G T are powers of 1000.
int64_t parse_count(const std::string& text, const std::string& flag);

/// As parse_count, but k, M are powers of 1024: a context of "64k" has 65,536 tokens.
int64_t parse_context(const std::string& text, const std::string& flag);

/// "90s", "10min", "1.5h" -> seconds. @throws ConfigError naming `flag` unless it is positive
double parse_duration(const std::string& text, const std::string& flag);

}  // namespace regroup
