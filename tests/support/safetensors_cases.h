#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace regroup::testing {

/// A safetensors file by hand: well-formed or broken in one way.
struct SafetensorsCase {
  std::string id;                     ///< "O05"
  std::string why;                    ///< what is special about it
  std::vector<std::string> codes;     ///< any of these error codes; none: the file is good
  std::function<std::string()> make;  ///< its bytes; made when asked for, because some are large
};

/// All 127 cases, in the order of the table.
const std::vector<SafetensorsCase>& safetensors_cases();

/// `n` as 8 little-endian bytes, then `rest`.
std::string framed(uint64_t n, std::string_view rest);
/// A whole file: the length of `header`, the header, the data.
std::string st_file(std::string_view header, std::string_view data = {});
/// {"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}, with whatever is given in its place.
std::string st_entry(std::string_view dtype = "F32", std::string_view shape = "[2,2]",
                     std::string_view offsets = "[0,16]");

}  // namespace regroup::testing
