#include "support/safetensors_cases.h"

#include <fmt/format.h>

namespace regroup::testing {
namespace {

using std::string;
using namespace std::string_literals;

const string kZ(16, '\0');  // the data of one F32 [2,2]

/// T of the table, at the given bytes.
string t(uint64_t begin = 0, uint64_t end = 16) {
  return st_entry("F32", "[2,2]", fmt::format("[{},{}]", begin, end));
}

/// A file with one tensor "a".
string one(const string& entry, const string& data = kZ) {
  return st_file("{\"a\":" + entry + "}", data);
}

/// A file with the good tensor T under `name`, which stands in the JSON as it is given.
string named(const string& name) { return st_file("{\"" + name + "\":" + t() + "}", kZ); }

string repeat(const string& text, size_t n) {
  string out;
  out.reserve(text.size() * n);
  for (size_t i = 0; i < n; ++i) out += text;
  return out;
}

/// `n` entries named PREFIX0, PREFIX1 ..., all the same.
string entries(const string& prefix, size_t n, const string& entry) {
  string header = "{";
  for (size_t i = 0; i < n; ++i) {
    header += fmt::format("{}\"{}{}\":{}", i == 0 ? "" : ",", prefix, i, entry);
  }
  return header + "}";
}

/// a0..a7, each U8 [2^61 - 1], one after the other: together 2^64 - 8 bytes.
string eight_huge() {
  constexpr uint64_t kEach = (uint64_t{1} << 61) - 1;
  string header = "{";
  for (uint64_t i = 0; i < 8; ++i) {
    header += fmt::format("{}\"a{}\":{}", i == 0 ? "" : ",", i,
                          st_entry("U8", fmt::format("[{}]", kEach),
                                   fmt::format("[{},{}]", i * kEach, (i + 1) * kEach)));
  }
  return st_file(header + "}");
}

string zeros(size_t n) { return string(n, '\0'); }

using Codes = std::vector<string>;

// Everything the format allows, however odd.
void add_good(std::vector<SafetensorsCase>& c) {
  const Codes ok;
  c.push_back({"V01", "one tensor", ok, [] { return one(t()); }});
  c.push_back({"V02", "no tensor", ok, [] { return st_file("{}"); }});
  c.push_back({"V03", "metadata alone", ok,
               [] { return st_file(R"({"__metadata__":{"framework":"pt"}})"); }});
  c.push_back({"V04", "rank 0", ok, [] { return one(st_entry("I32", "[]", "[0,4]"), zeros(4)); }});
  c.push_back(
      {"V05", "no elements", ok, [] { return one(st_entry("I32", "[2,0]", "[0,0]"), ""); }});
  c.push_back({"V06", "padded header", ok, [] { return st_file("{}\r \t\n"); }});
  c.push_back({"V07", "entries not in the order of the data", ok,
               [] { return st_file("{\"b\":" + t(16, 32) + ",\"a\":" + t() + "}", kZ + kZ); }});
  c.push_back({"V08", "two empty tensors at one place", ok, [] {
                 const string empty = st_entry("F32", "[0]", "[0,0]");
                 return st_file("{\"a\":" + empty + ",\"b\":" + empty + "}");
               }});
  c.push_back({"V09", "a name that is not ASCII", ok, [] { return named("模型.weight"); }});
  c.push_back({"V10", "NaN, +Inf, -Inf, -0.0", ok,
               [] { return one(t(), "\0\0\xC0\x7F\0\0\x80\x7F\0\0\x80\xFF\0\0\0\x80"s); }});
  c.push_back({"V11", "misaligned data", ok, [] {
                 return st_file("{\"a\":" + st_entry("U8", "[1]", "[0,1]") +
                                    ",\"b\":" + st_entry("F32", "[1]", "[1,5]") + "}",
                                zeros(5));
               }});
  c.push_back({"K11", "a name with markup", ok, [] { return named("<script>alert(1)</script>"); }});
  c.push_back({"K12", "a name like a path", ok, [] { return named("../../etc/passwd"); }});
  c.push_back({"B02", "6-bit elements that fill bytes", ok,
               [] { return one(st_entry("F6_E2M3", "[4]", "[0,3]"), zeros(3)); }});
  c.push_back({"B04", "BOOL with byte 2", ok,
               [] { return one(st_entry("BOOL", "[1]", "[0,1]"), "\x02"); }});
}

void add_framing(std::vector<SafetensorsCase>& c) {
  const Codes too_short = {"ST_TOO_SHORT"};
  const Codes past = {"ST_HEADER_PAST_EOF"};
  const Codes large = {"ST_HEADER_TOO_LARGE"};
  const Codes syntax = {"ST_JSON_SYNTAX"};
  const Codes other = {"ST_NOT_SAFETENSORS"};
  c.push_back({"L01", "empty file", too_short, [] { return ""s; }});
  c.push_back({"L02", "7 bytes", too_short, [] { return zeros(7); }});
  c.push_back({"L03", "a length and nothing after", past, [] { return framed(60, ""); }});
  c.push_back({"L12", "100 MB declared", past, [] { return framed(100'000'000, "{}"); }});
  c.push_back({"L13", "one byte too long", past, [] { return framed(3, "{}"); }});
  c.push_back({"L14", "length reaches past the data", past,
               [] { return framed(1000, "{\"weight\":" + t() + "}" + kZ); }});
  c.push_back({"L05", "length of the reference's own test", large,
               [] { return "\x3C\0\0\0\0\xFF\xFF\xFF"s + "{\"test\":" + t() + "}" + kZ; }});
  const auto length = [&](const char* id, const char* why, uint64_t n) {
    c.push_back({id, why, large, [n] { return framed(n, "{}"); }});
  };
  length("L06", "2^64-1", UINT64_MAX);
  length("L07", "2^64-8: 8 + n wraps to 0", UINT64_MAX - 7);
  length("L08", "2^63-1", INT64_MAX);
  length("L09", "2^63", uint64_t{1} << 63);
  length("L10", "2^32+2: cut to 32 bits it is 2", (uint64_t{1} << 32) + 2);
  length("L11", "one above the limit", 100'000'001);
  length("L15", "2, big-endian", uint64_t{2} << 56);
  c.push_back({"F09", "64 bytes 0xff", large, [] { return string(64, '\xFF'); }});
  c.push_back({"L04", "n = 0 and nothing after", syntax, [] { return framed(0, ""); }});
  c.push_back({"L16", "length one too small", syntax, [] {
                 const string header = "{\"a\":" + t() + "}";
                 return framed(header.size() - 1, header + kZ);
               }});
  c.push_back(
      {"F08", "4,096 zero bytes: reserved, never written", syntax, [] { return zeros(4096); }});
  c.push_back({"F01", "Git LFS pointer", other, [] {
                 return "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"s;
               }});
  c.push_back({"F02", "HTML page", other, [] { return "<!DOCTYPE html><html>403</html>"s; }});
  c.push_back({"F04", "pickle", other,
               [] { return "\x80\x02\x7D\x71\x00\x58\x01\x00\x00\x00\x61\x2E"s + zeros(10); }});
  c.push_back({"F05", "GGUF", other, [] { return "GGUF\x03\0\0\0"s + zeros(40); }});
  c.push_back(
      {"F07", "JSON text without the length", other, [] { return "{\"a\": " + t() + "}"; }});
  c.push_back({"F03",
               "ZIP archive",
               {"ST_NOT_SAFETENSORS", "ST_HEADER_PAST_EOF", "ST_HEADER_TOO_LARGE"},
               [] { return "PK\x03\x04"s + zeros(60); }});
  c.push_back({"F06", "gzip data", {"ST_NOT_SAFETENSORS", "ST_HEADER_PAST_EOF"}, [] {
                 return "\x1F\x8B\x08\0\0\0\0\0\0\x03"s + zeros(20);
               }});
}

void add_json(std::vector<SafetensorsCase>& c) {
  const Codes utf8 = {"ST_NOT_UTF8"};
  const Codes syntax = {"ST_JSON_SYNTAX"};
  const Codes metadata = {"ST_BAD_METADATA"};
  const auto header = [&](const char* id, const char* why, const Codes& codes, const string& text,
                          const string& data = "") {
    c.push_back({id, why, codes, [text, data] { return st_file(text, data); }});
  };
  header("J01", "byte 0xff", utf8, "\xFF");
  header("J03", "overlong NUL in a name", utf8, "{\"\xC0\x80\":" + t() + "}", kZ);
  header("J04", "encoded surrogate in a name", utf8, "{\"\xED\xA0\x80\":" + t() + "}", kZ);
  header("J02", "cut after the brace", syntax, "{");
  header("J05", "lone surrogate escape", syntax, "{\"\\ud800\":" + t() + "}", kZ);
  header("J10", "two objects", syntax, "{}{}");
  header("J11", "NULs after the object", syntax, "{}" + zeros(6));
  header("J12", "comma before the brace", syntax, "{\"a\":" + t() + ",}", kZ);
  header("J14", "single quotes", syntax, "{'a':1}");
  header("J15", "raw line feed in a name", syntax, "{\"a\nb\":" + t() + "}", kZ);
  const Codes no_object = {"ST_JSON_SYNTAX", "ST_HEADER_NOT_OBJECT"};
  header("J06", "byte order mark", no_object, "\xEF\xBB\xBF{}");
  header("J13", "comment", no_object, "/*x*/{}");
  header("J07", "array", {"ST_HEADER_NOT_OBJECT"}, "[]");
  header("J08", "null", {"ST_HEADER_NOT_OBJECT"}, "null");
  header("J09", "white space first", {"ST_HEADER_START"}, "  {}");
  c.push_back({"J16", "depth bomb of arrays", {"ST_BAD_ENTRY", "ST_JSON_DEPTH"}, [] {
                 return st_file("{\"a\":" + string(100'000, '[') + string(100'000, ']') + "}");
               }});
  header("D09", "entry null", {"ST_BAD_ENTRY"}, R"({"a":null})");
  header("D10", "entry a string", {"ST_BAD_ENTRY"}, R"({"a":"b"})");
  c.push_back({"J17", "depth bomb of objects in the metadata", metadata, [] {
                 return st_file("{\"__metadata__\":{\"x\":" + repeat("{\"y\":", 50'000) + "1" +
                                string(50'001, '}') + "}");
               }});
  header("K13", "metadata number", metadata, R"({"__metadata__":{"k":1}})");
  header("K14", "metadata object in object", metadata, R"({"__metadata__":{"k":{"a":"b"}}})");
  header("K15", "metadata array", metadata, R"({"__metadata__":[]})");
  header("K16", "metadata that looks like a tensor", metadata, "{\"__metadata__\":" + t() + "}",
         kZ);
  header("V12", "metadata null", metadata, R"({"__metadata__":null})");
}

void add_names_and_fields(std::vector<SafetensorsCase>& c) {
  const Codes twice = {"ST_DUPLICATE_KEY"};
  const Codes bad_name = {"ST_BAD_NAME"};
  const Codes missing = {"ST_MISSING_FIELD"};
  const Codes bad_dtype = {"ST_BAD_DTYPE"};
  const auto header = [&](const char* id, const char* why, const Codes& codes, const string& text,
                          const string& data = kZ) {
    c.push_back({id, why, codes, [text, data] { return st_file(text, data); }});
  };
  header("K01", "the same name, the same bytes", twice, "{\"a\":" + t() + ",\"a\":" + t() + "}");
  header("K03", "equal after unescaping", twice, "{\"a\":" + t() + ",\"\\u0061\":" + t() + "}");
  header("K06", "metadata key", twice, R"({"__metadata__":{"k":"1","k":"2"}})", "");
  header("K02", "the same name, other bytes", twice, "{\"a\":" + t() + ",\"a\":" + t(16, 32) + "}",
         kZ + kZ);
  header("K04", "__metadata__", twice, R"({"__metadata__":{},"__metadata__":{}})", "");
  header("K05", "dtype", twice,
         R"({"a":{"dtype":"F32","dtype":"I32","shape":[2,2],"data_offsets":[0,16]}})");
  c.push_back({"K07", "empty name", bad_name, [] { return named(""); }});
  c.push_back({"K08", "NUL in a name", bad_name, [] { return named("a\\u0000b"); }});
  c.push_back({"K09", "terminal escape in a name", bad_name, [] { return named("\\u001b[2J"); }});
  c.push_back(
      {"K10", "a name of 1 MiB", {"ST_NAME_TOO_LONG"}, [] { return named(string(1 << 20, 'x')); }});
  header("D01", "no dtype", missing, R"({"a":{"shape":[2,2],"data_offsets":[0,16]}})");
  header("D02", "no shape", missing, R"({"a":{"dtype":"F32","data_offsets":[0,16]}})");
  header("D03", "no data_offsets", missing, R"({"a":{"dtype":"F32","shape":[2,2]}})");
  header("D04", "another field", {"ST_UNKNOWN_FIELD"},
         R"({"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16],"x":1}})");
  c.push_back({"D05", "F99", bad_dtype, [] { return one(st_entry("F99")); }});
  c.push_back({"D06", "lower case", bad_dtype, [] { return one(st_entry("f32")); }});
  header("D07", "a number", bad_dtype, R"({"a":{"dtype":32,"shape":[2,2],"data_offsets":[0,16]}})");
  c.push_back({"D08", "object", bad_dtype, [] { return one(st_entry("object")); }});
}

void add_shapes(std::vector<SafetensorsCase>& c) {
  const Codes bad = {"ST_BAD_SHAPE"};
  const Codes overflow = {"ST_SHAPE_OVERFLOW"};
  const Codes mismatch = {"ST_SIZE_MISMATCH"};
  const auto add = [&](const char* id, const char* why, const Codes& codes, const string& dtype,
                       const string& shape, const string& offsets, size_t data) {
    c.push_back({id, why, codes, [dtype, shape, offsets, data] {
                   return one(st_entry(dtype, shape, offsets), zeros(data));
                 }});
  };
  add("J18", "NaN", bad, "F32", "[NaN]", "[0,16]", 16);
  add("S01", "negative", bad, "F32", "[-2,2]", "[0,16]", 16);
  add("S02", "2.0", bad, "F32", "[2.0,2]", "[0,16]", 16);
  add("S03", "exponent", bad, "F32", "[4e0]", "[0,16]", 16);
  add("S04", "string", bad, "F32", "[\"4\"]", "[0,16]", 16);
  add("S05", "no array", bad, "F32", "4", "[0,16]", 16);
  add("S06", "2^64", bad, "F32", "[18446744073709551616]", "[0,16]", 16);
  add("S15", "1,000 dimensions", bad, "F32", "[1" + repeat(",1", 999) + "]", "[0,4]", 4);
  c.push_back({"S16", "1,000,000 dimensions", bad, [] {
                 return one(st_entry("F32", "[1" + repeat(",1", 999'999) + "]", "[0,4]"), zeros(4));
               }});
  add("S07", "2 * (2^64-2)", overflow, "F32", "[2,18446744073709551614]", "[0,16]", 16);
  add("S08", "only the bytes overflow", overflow, "F32", "[2,9223372036854775807]", "[0,16]", 16);
  add("S09", "2^32 * 2^32 wraps to 0", overflow, "F32", "[4294967296,4294967296]", "[0,0]", 0);
  add("S10", "2^64+16 wraps to 16", overflow, "U8", "[1152921504606846977,16]", "[0,16]", 16);
  add("S12", "only the bits wrap", overflow, "U8", "[2305843009213693952]", "[0,16]", 16);
  add("S14", "2^63 * 4 * 0", overflow, "F32", "[9223372036854775808,4,0]", "[0,0]", 0);
  add("S13", "0 * (2^64-1): -1 as int64", overflow, "F32", "[0,18446744073709551615]", "[0,0]", 0);
  add("S11a", "the int32 product is 131073", mismatch, "U8", "[65537,65537]", "[0,131073]",
      131'073);
  add("S11b", "the int32 dimension is 4", mismatch, "F32", "[4294967300]", "[0,16]", 16);
  add("O08", "too short", mismatch, "F32", "[2,2]", "[0,4]", 0);
  add("O09", "too long", mismatch, "F32", "[32,8]", "[0,65536]", 65'536);
  add("O10", "a million elements in 4 bytes", mismatch, "F32", "[1000,1000]", "[0,4]", 4);
  add("O18", "empty, but 16 bytes", mismatch, "F32", "[0,4]", "[0,16]", 16);
  add("B03", "F4 [1,2] is one byte", mismatch, "F4", "[1,2]", "[0,2]", 2);
}

void add_offsets(std::vector<SafetensorsCase>& c) {
  const Codes bad = {"ST_BAD_OFFSETS"};
  const Codes hole = {"ST_HOLE"};
  const Codes overlap = {"ST_OVERLAP"};
  const Codes truncated = {"ST_DATA_TRUNCATED"};
  const Codes trailing = {"ST_TRAILING_DATA"};
  const auto offsets = [&](const char* id, const char* why, const string& text) {
    c.push_back({id, why, bad, [text] { return one(st_entry("F32", "[2,2]", text)); }});
  };
  offsets("O01", "one", "[0]");
  offsets("O02", "three", "[0,16,32]");
  offsets("O03", "none", "[]");
  offsets("O04", "negative", "[-16,0]");
  offsets("O06", "floats", "[0.0,16.0]");
  offsets("O07", "null", "null");
  offsets("O05", "reversed", "[16,0]");
  const auto file = [&](const char* id, const char* why, const Codes& codes,
                        std::function<string()> make) {
    c.push_back({id, why, codes, std::move(make)});
  };
  file("O11", "nothing at the start", hole, [] { return one(t(16, 32), kZ + kZ); });
  file("O12", "nothing between", hole,
       [] { return st_file("{\"a\":" + t() + ",\"b\":" + t(24, 40) + "}", zeros(40)); });
  file("O17", "empty tensor at 2^64-1", hole, [] {
    return one(st_entry("U8", "[0]", "[18446744073709551615,18446744073709551615]"), "");
  });
  file("O13", "begins inside the one before", overlap,
       [] { return st_file("{\"a\":" + t() + ",\"b\":" + t(8, 24) + "}", zeros(24)); });
  file("O14", "ten names for the same bytes", overlap,
       [] { return st_file(entries("w", 10, t()), kZ); });
  file("N01", "100,000 names for the same bytes", overlap, [] {
    return st_file(entries("w", 100'000, st_entry("F32", "[200,200]", "[0,160000]")),
                   zeros(160'000));
  });
  file("O15", "2^61-1 bytes declared", truncated,
       [] { return one(st_entry("U8", "[2305843009213693951]", "[0,2305843009213693951]"), ""); });
  file("O16", "2^64-8 bytes declared", truncated, [] { return eight_huge(); });
  file("T01", "two bytes short", truncated, [] { return one(t(), zeros(14)); });
  file("T04", "the header alone", truncated, [] { return one(t(), ""); });
  file("T02", "a polyglot's tail", trailing,
       [] { return one(t(), kZ + "extra_bogus_data_for_polyglot_file"); });
  file("T03", "one byte more", trailing, [] { return one(t(), zeros(17)); });
  file("T05", "data and no tensor", trailing, [] { return st_file("{}", kZ); });
  file("B01", "12 bits", {"ST_SUBBYTE"},
       [] { return one(st_entry("F4", "[1,3]", "[0,1]"), zeros(1)); });
  file("N02", "1,200,000 tensors", {"ST_TOO_MANY_TENSORS"},
       [] { return st_file(entries("w", 1'200'000, st_entry("F32", "[0]", "[0,0]"))); });
}

}  // namespace

string framed(uint64_t n, std::string_view rest) {
  string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(n >> (8 * i) & 0xFF);
  return bytes.append(rest);
}

string st_file(std::string_view header, std::string_view data) {
  return framed(header.size(), header).append(data);
}

string st_entry(std::string_view dtype, std::string_view shape, std::string_view offsets) {
  return fmt::format(R"({{"dtype":"{}","shape":{},"data_offsets":{}}})", dtype, shape, offsets);
}

const std::vector<SafetensorsCase>& safetensors_cases() {
  static const std::vector<SafetensorsCase> kCases = [] {
    std::vector<SafetensorsCase> cases;
    add_good(cases);
    add_framing(cases);
    add_json(cases);
    add_names_and_fields(cases);
    add_shapes(cases);
    add_offsets(cases);
    return cases;
  }();
  return kCases;
}

}  // namespace regroup::testing
