// Parquet files as records: what pyarrow wrote must give what it was given (scripts/make_parquet_fixtures), and no
// bytes may do harm.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <random>

#include "parquet/delta_binary.h"
#include "parquet/parquet_schema.h"
#include "parquet/rle_hybrid.h"
#include "regroup/text/records.h"
#include "support/bounded.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace regroup::testing {
namespace {

using namespace std::string_literals;
using parquet::Field;
using parquet::Meaning;
using parquet::PhysicalType;
using parquet::Repetition;
using parquet::SchemaElement;

constexpr int64_t kMebibyte = 1 << 20;
const std::string kGolden = "tests/text/golden/parquet";

std::vector<Json> records_of(const std::string& path) {
  std::vector<Json> records;
  read_records(path, [&](const Json& record, const std::string&) {
    records.push_back(record);
    return true;
  });
  return records;
}

std::vector<std::string> golden_files(const std::string& start, bool starting) {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(kGolden)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(".parquet") && name.starts_with(start) == starting)
      paths.push_back(kGolden + "/" + name);
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

/// The lines of JSON that hold the same: NAME.jsonl of NAME.VARIANT.parquet.
std::string lines_of(const std::string& path) {
  const std::string name = std::filesystem::path(path).filename().string();
  return kGolden + "/" + name.substr(0, name.find('.')) + ".jsonl";
}

// Every type, codec, encoding and kind of page, with nulls and empty lists in every place.
TEST(Parquet, HoldsWhatWasWritten) {
  const std::vector<std::string> paths = golden_files("refused", false);
  EXPECT_EQ(paths.size(), 23u);
  for (const std::string& path : paths) {
    SCOPED_TRACE(path);
    const std::vector<Json> found = records_of(path);
    const std::vector<Json> expected = records_of(lines_of(path));
    ASSERT_EQ(found.size(), expected.size());
    for (size_t i = 0; i < found.size(); ++i) {
      EXPECT_EQ(found[i], expected[i]) << i;
      EXPECT_EQ(found[i].dump(), expected[i].dump()) << i;  // the order and the types too
    }
  }
}

TEST(Parquet, RowsSayWhereTheyAre) {
  std::vector<std::string> places;
  const std::string path = kGolden + "/arc.groups.parquet";
  read_records(path, [&](const Json&, const std::string& where) {
    places.push_back(where);
    return places.size() < 7;
  });
  EXPECT_EQ(places.size(), 7u);
  EXPECT_EQ(places.back(), path + " row 7");
}

// refused-CODE[-WHY].parquet
TEST(Parquet, WhatIsRefused) {
  for (const std::string& path : golden_files("refused", true)) {
    SCOPED_TRACE(path);
    std::string code = std::filesystem::path(path).stem().string().substr(8);
    code.resize(std::min(code.find('-'), code.size()));
    if (code == "PARQUET_UNSUPPORTED") {
      const ErrorInfo error = expect_error<UnsupportedError>(code, [&] { records_of(path); });
      EXPECT_TRUE(contains(error.hint, "to_json"));
    } else {
      const auto read_all = [&] {
        read_records(path, [](const Json&, const std::string&) { return true; });
      };
      expect_bounded(code, 256 * kMebibyte, 10, read_all);
    }
  }
}

TEST(Parquet, ErrorsSayWhereAndWhat) {
  const auto message = [](const char* name, auto kind) {
    using Kind = decltype(kind);
    try {
      records_of(kGolden + "/refused-" + name + ".parquet");
    } catch (const Kind& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  const UnsupportedError unsupported({.code = "", .message = ""});
  const CheckpointError damaged({.code = "", .message = ""});
  EXPECT_TRUE(
      contains(message("PARQUET_UNSUPPORTED-brotli", unsupported),
               "column choices.text.list.element: must be packed with SNAPPY, GZIP or ZSTD, "
               "or not at all, found BROTLI"));
  EXPECT_TRUE(contains(message("TEXT_UTF8", damaged),
                       "row 2: text must be UTF-8 text, found another byte at byte 3 of it"));
  EXPECT_TRUE(contains(message("PARQUET_RECORD_LIMIT", damaged), "row 1: must have at most"));
}

/// "PAR1", and a footer with its length behind it.
std::string with_footer(const std::string& footer, const std::string& magic = "PAR1") {
  std::string bytes = "PAR1" + footer;
  for (int i = 0; i < 4; ++i) bytes += static_cast<char>(footer.size() >> (8 * i) & 0xFF);
  return bytes + magic;
}

TEST(Parquet, OtherFiles) {
  const std::string good = read_file(kGolden + "/small.snappy.parquet");
  const struct {
    const char* code;
    std::string bytes;
    const char* says;
  } cases[] = {
      {"PARQUET_MAGIC", "", "must be Parquet and begin with PAR1, found \"\""},
      {"PARQUET_MAGIC", "PAR1", "must end with PAR1"},
      {"PARQUET_MAGIC", "PAR1PAR1", "must end with PAR1"},
      {"PARQUET_MAGIC", "ARROW1\0\0"s, "found \"ARRO\""},
      {"PARQUET_MAGIC", "version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"},
      {"PARQUET_MAGIC", good.substr(0, good.size() - 1), "must end with PAR1"},
      {"PARQUET_FOOTER", "PAR1\xFF\xFF\xFF\xFFPAR1", "a length of 4294967295 bytes"},
      {"PARQUET_FOOTER", with_footer(""), "must end before byte 4"},
      {"PARQUET_FOOTER", with_footer(std::string(100, '\x1C')), "nest at most 32 deep"},
      {"PARQUET_FOOTER", with_footer("\x29\xFC\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"s),
       "more bytes at least"},
      {"PARQUET_FOOTER", with_footer("\x29\xFC\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F"s),
       "at most 64 bits"},
      {"PARQUET_FOOTER", with_footer("\x25\x0Fx"s), "field 2 must be a list"},
      {"PARQUET_FOOTER", with_footer("\x1E\0"s), "found type 14"},
      // one row group, of 2^40 rows
      {"PARQUET_FOOTER", with_footer("\x36\0\x19\x1C\x36\x80\x80\x80\x80\x80\x40\0\0"s),
       "at most 100000000 rows, found 1099511627776"},
      {"PARQUET_FOOTER", with_footer("\x36\x02\0"s), "must hold 1 rows, found 0"},
      {"PARQUET_SCHEMA", with_footer("\x36\0\0"s), "its schema must hold the names"},
  };
  const TemporaryFolder folder;
  for (const auto& c : cases) {
    SCOPED_TRACE(c.says);
    const std::string path = folder.write("a.parquet", c.bytes);
    const ErrorInfo error = expect_error(c.code, [&] { records_of(path); });
    EXPECT_TRUE(contains(error.message, c.says));
    EXPECT_FALSE(error.hint.empty());
  }
  const std::string encrypted = folder.write("b.parquet", with_footer("x", "PARE"));
  expect_error<UnsupportedError>("PARQUET_UNSUPPORTED", [&] { records_of(encrypted); });
  expect_error("IO_READ_ERROR", [&] { records_of(folder / "no.parquet"); });
  std::filesystem::create_directory(folder / "c.parquet");
  expect_error("SRC_NOT_REGULAR", [&] { records_of(folder / "c.parquet"); });
}

// What a page says it becomes is believed no further than its own bytes can become.
TEST(Parquet, PagesThatPromiseTooMuch) {
  const struct {
    const char* file;
    const char* code;
    std::string promise;  // twice the bytes, as Thrift writes a number that may be negative
  } cases[] = {
      {"none", "PARQUET_COMPRESSED", "\x80\x80\x80\xC8\x01"},  // 200 MiB
      {"snappy", "PARQUET_COMPRESSED", "\x80\x80\x80\xC8\x01"},
      {"gzip", "PARQUET_COMPRESSED", "\x80\x80\x80\xC8\x01"},
      {"zstd", "PARQUET_COMPRESSED", "\x80\x80\x80\xC8\x01"},
      {"zstd", "PARQUET_LIMIT", "\x80\x80\x80\xAC\x02"},  // 300 MiB
  };
  const TemporaryFolder folder;
  for (const auto& c : cases) {
    SCOPED_TRACE(c.file);
    std::string bytes = read_file(fmt::format("{}/arc.{}.parquet", kGolden, c.file));
    constexpr size_t kSize =
        7;  // behind PAR1, the kind of the first page and the number of the field
    size_t end = kSize;
    while ((bytes[end] & 0x80) != 0) ++end;
    bytes.replace(kSize, end + 1 - kSize, c.promise);
    const std::string path = folder.write("a.parquet", bytes);
    expect_bounded(c.code, 32 * kMebibyte, 5, [&] { records_of(path); });
  }
}

/// Reads bytes that may be anything. @return the code of the error, or "OK"
std::string verdict(const TemporaryFolder& folder, const std::string& bytes) {
  const std::string path = folder.write("changed.parquet", bytes);
  return verdict_of([&] {
    read_records(path, [](const Json& record, const std::string&) {
      return record.dump().size() > 0;  // every text must be one that can be written
    });
  });
}

bool is_ours(const std::string& code) {
  for (const char* start : {"PARQUET_", "TEXT_"}) {
    if (code.starts_with(start)) return true;
  }
  return code == "OK" || code == "SRC_CHANGED";
}

TEST(Parquet, CutFilesAreRefused) {
  const TemporaryFolder folder;
  for (const char* name : {"small.snappy", "small.v2", "arc.zstd"}) {
    const std::string good = read_file(fmt::format("{}/{}.parquet", kGolden, name));
    EXPECT_EQ(verdict(folder, good), "OK");
    for (size_t bytes = 0; bytes < good.size(); ++bytes) {
      const std::string code = verdict(folder, good.substr(0, bytes));
      EXPECT_TRUE(code.starts_with("PARQUET_")) << name << " cut to " << bytes << ": " << code;
    }
    // what is missing in front of the footer shifts everything
    for (size_t bytes = 4; bytes < good.size() / 2; ++bytes) {
      const std::string code = verdict(folder, "PAR1" + good.substr(bytes + 4));
      EXPECT_TRUE(is_ours(code)) << name << " without " << bytes << ": " << code;
    }
  }
}

TEST(Parquet, ChangedBytesDoNoHarm) {
  const TemporaryFolder folder;
  std::mt19937 draw(1);
  int refused = 0;
  for (const std::string& path : golden_files("refused", false)) {
    const std::string good = read_file(path);
    for (int i = 0; i < 250; ++i) {
      std::string bytes = good;
      // half of the changes hit the footer, which says where everything is
      const size_t first = i % 2 == 0 ? 0 : bytes.size() / 2;
      for (unsigned n = 1 + draw() % 3; n-- > 0;) {
        bytes[first + draw() % (bytes.size() - first)] ^= static_cast<char>(1 + draw() % 255);
      }
      const std::string code = verdict(folder, bytes);
      refused += code != "OK";
      ASSERT_TRUE(is_ours(code)) << path << " change " << i << ": " << code;
    }
  }
  EXPECT_GT(refused, 1000);
}

// With a checksum no changed byte of a page goes unnoticed.
TEST(Parquet, ChecksumsAreChecked) {
  const TemporaryFolder folder;
  std::string bytes = read_file(kGolden + "/arc.plain.parquet");
  const size_t text = bytes.find("Mercury_3");
  ASSERT_NE(text, std::string::npos);
  bytes[text] = 'm';
  EXPECT_EQ(verdict(folder, bytes), "PARQUET_CHECKSUM");
}

SchemaElement group(const char* name, Repetition repetition, int64_t n_children,
                    Meaning meaning = Meaning::kAsStored) {
  return {.name = name, .repetition = repetition, .n_children = n_children, .meaning = meaning};
}
SchemaElement column(const char* name, Repetition repetition,
                     PhysicalType type = PhysicalType::kInt32,
                     Meaning meaning = Meaning::kAsStored) {
  return {.name = name, .type = type, .repetition = repetition, .meaning = meaning};
}

/// "{a: [?1 int @2/1]}": ?N null below definition level N; [...] a list; @D/R its items from definition D, again at R.
std::string drawn(const Field& field) {
  std::string text = field.present_from > 0 ? fmt::format("?{} ", field.present_from) : "";
  if (field.kind == Field::Kind::kValue) return text + "v";
  const bool is_object = field.kind == Field::Kind::kObject;
  text += is_object ? "{" : field.kind == Field::Kind::kList ? "[" : "<";
  for (const Field& child : field.children) {
    if (&child != &field.children.front()) text += ", ";
    text += (is_object ? child.name + ": " : "") + drawn(child);
  }
  if (is_object) return text + "}";
  return text + fmt::format(" @{}/{}{}", field.items_from, field.repeated_at,
                            field.kind == Field::Kind::kList ? "]" : ">");
}

// The examples of LogicalTypes.md, old lists and maps among them.
TEST(Parquet, ListsOfOldFiles) {
  constexpr auto kRequired = Repetition::kRequired, kOptional = Repetition::kOptional,
                 kRepeated = Repetition::kRepeated;
  const auto text = [](const char* name, Repetition repetition) {
    return column(name, repetition, PhysicalType::kByteArray, Meaning::kText);
  };
  const SchemaElement list = group("l", kOptional, 1, Meaning::kList);
  const struct {
    const char* drawn;
    std::vector<SchemaElement> elements;
  } cases[] = {
      {"{l: ?1 [?3 v @2/1]}", {list, group("list", kRepeated, 1), column("element", kOptional)}},
      {"{l: ?1 [v @2/1]}", {list, group("bag", kRepeated, 1), column("e", kRequired)}},
      {"{l: ?1 [v @2/1]}", {list, column("element", kRepeated)}},
      {"{l: ?1 [{s: v, n: v} @2/1]}",
       {list, group("element", kRepeated, 2), text("s", kRequired), column("n", kRequired)}},
      {"{l: ?1 [{s: v} @2/1]}", {list, group("array", kRepeated, 1), text("s", kRequired)}},
      {"{l: ?1 [{s: v} @2/1]}", {list, group("l_tuple", kRepeated, 1), text("s", kRequired)}},
      {"{l: ?1 [{s: [v @3/2]} @2/1]}", {list, group("list", kRepeated, 1), text("s", kRepeated)}},
      {"{r: [v @1/1]}", {column("r", kRepeated)}},
      {"{r: [{a: ?2 v} @1/1]}", {group("r", kRepeated, 1), column("a", kOptional)}},
      {"{m: ?1 <v, ?3 v @2/1>}",
       {group("m", kOptional, 1, Meaning::kMap), group("key_value", kRepeated, 2),
        text("key", kRequired), column("value", kOptional)}},
  };
  for (const auto& c : cases) {
    std::vector<SchemaElement> elements = {group("schema", kRequired, 1)};
    elements.insert(elements.end(), c.elements.begin(), c.elements.end());
    EXPECT_EQ(drawn(parquet::make_schema(elements, "a").root), c.drawn);
  }
}

TEST(Parquet, SchemasThatContradictThemselves) {
  constexpr auto kRequired = Repetition::kRequired, kOptional = Repetition::kOptional;
  std::vector<SchemaElement> deep(100, group("g", kOptional, 1));
  deep.push_back(column("c", kOptional));
  const std::vector<SchemaElement> cases[] = {
      {},
      {column("schema", kRequired)},
      {group("schema", kRequired, 2), column("a", kRequired)},
      {group("schema", kRequired, 1), column("a", kRequired), column("b", kRequired)},
      {group("schema", kRequired, 2), column("a", kRequired), column("a", kRequired)},
      {group("schema", kRequired, 1), column("\xFF", kRequired)},
      {group("schema", kRequired, 1), group("l", kOptional, 1, Meaning::kList),
       column("x", kOptional)},
      deep,
  };
  for (const std::vector<SchemaElement>& elements : cases) {
    expect_error("PARQUET_SCHEMA", [&] { parquet::make_schema(elements, "a.parquet"); });
  }
}

// The example of Encodings.md: 0 to 7 in 3 bits; a run of 8 fours.
TEST(Parquet, RunsAndPackedNumbers) {
  const std::string bytes = "\x03\x88\xC6\xFA\x10\x04"s;
  parquet::RleHybrid numbers(bytes, 3, "a");
  for (uint32_t i = 0; i < 8; ++i) EXPECT_EQ(numbers.next(), i);
  for (int i = 0; i < 8; ++i) EXPECT_EQ(numbers.next(), 4u);
  expect_error("PARQUET_VALUES", [&] { numbers.next(); });
  expect_error("PARQUET_VALUES", [&] { parquet::RleHybrid(bytes, 33, "a"); });
}

// The second example of Encodings.md: 7, 5, 3, 1, 2, 3, 4, 5 in blocks of 128, of which each part has 32.
TEST(Parquet, Differences) {
  const std::string bytes = "\x80\x01\x04\x08\x0E\x03\x02\0\0\0\xC0\x3F\0\0\0\0\0\0rest"s;
  parquet::DeltaBinary numbers(bytes, "a");
  EXPECT_EQ(numbers.encoded_bytes(), bytes.size() - 4);
  for (const uint64_t expected : {7, 5, 3, 1, 2, 3, 4, 5}) EXPECT_EQ(numbers.next(), expected);
  EXPECT_EQ(numbers.encoded_bytes(), bytes.size() - 4);
  expect_error("PARQUET_VALUES", [&] { numbers.next(); });
  for (const std::string& bad : {"\x80\x01\0\x08\x0E"s, "\x80\x01\x03\x08\x0E"s, "\0\0\0\0"s,
                                 "\xFF\xFF\xFF\xFF\x7F\x01\x08\x0E"s, "\x80"s}) {
    expect_error("PARQUET_VALUES", [&] { parquet::DeltaBinary(bad, "a"); });
  }
}

}  // namespace
}  // namespace regroup::testing
