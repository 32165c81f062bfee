#pragma once

#include <cstdint>
#include <string>

namespace regroup {

/// One line of the report's long table. Cells that do not apply stay empty.
struct CsvRow {
  const char* section;
  std::string model = {};
  std::string role = {};
  int64_t n_kv_heads = 0;
  std::string metric = {};
  std::string x = {};
  std::string value = {};
  std::string error = {};
  std::string n = {};
};

std::string csv_number(double value);
std::string csv_line(const CsvRow& row);

}  // namespace regroup
