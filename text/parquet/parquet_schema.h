#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace regroup::parquet {

/// How values lie in a file, by Parquet's numbers.
enum class PhysicalType : uint8_t {
  kBoolean = 0,
  kInt32 = 1,
  kInt64 = 2,
  kInt96 = 3,
  kFloat = 4,
  kDouble = 5,
  kByteArray = 6,
  kFixedLengthByteArray = 7,
};
enum class Repetition : uint8_t { kRequired = 0, kOptional = 1, kRepeated = 2 };

/// What a column or group stands for, as far as JSON sees a difference.
enum class Meaning : uint8_t { kAsStored, kText, kUnsigned, kList, kMap, kOther };

/// One entry of the schema as it stands in the footer: the tree, depth first.
struct SchemaElement {
  std::string name;
  std::optional<PhysicalType> type;  ///< nothing: a group
  Repetition repetition = Repetition::kRequired;
  int64_t n_children = 0;
  Meaning meaning = Meaning::kAsStored;
};

/// What a value is as JSON.
enum class ValueKind : uint8_t {
  kBoolean,
  kInt32,
  kInt64,
  kUint32,
  kUint64,
  kFloat,
  kDouble,
  kText
};

/// A column that is read.
struct Leaf {
  size_t chunk;      ///< its place among all columns of the file
  std::string name;  ///< "choices.list.element"
  PhysicalType type;
  ValueKind kind;
  int max_repetition;
  int max_definition;
};

/// A part of a record: a value, {...}, [...], or {...} with keys that the file holds.
struct Field {
  enum class Kind : uint8_t { kValue, kObject, kList, kMap };
  Kind kind = Kind::kValue;
  std::string name;
  int present_from = 0;  ///< below this definition level it is null; 0: it never is
  int items_from = 0;    ///< of a list or map: below this definition level it is empty
  int repeated_at =
      0;  ///< of a list or map: the repetition level of its second item and each later one
  size_t first_leaf = 0;  ///< its leaves: [first_leaf, end_leaf)
  size_t end_leaf = 0;
  std::vector<Field> children;  ///< of a list its item, of a map key and value
};

struct Schema {
  Field root;
  std::vector<Leaf> leaves;
  size_t n_chunks = 0;                ///< columns of the file, those left out too
  std::vector<std::string> unwanted;  ///< names of those that are left out since others were wanted
};

/// Puts the tree together. Columns that JSON has no form for (bytes that are no text, INT96, decimals) are left out.
/// Lists are told from groups by the rules of LogicalTypes.md of apache/parquet-format, with those for old files.
/// @param wanted  columns that are read; all where it is empty, or none of them is there
/// @throws CheckpointError PARQUET_SCHEMA; UnsupportedError PARQUET_UNSUPPORTED where no column is left, or keys of
///         a map are no texts
Schema make_schema(const std::vector<SchemaElement>& elements, const std::string& path,
                   const std::vector<std::string>& wanted = {});

}  // namespace regroup::parquet
