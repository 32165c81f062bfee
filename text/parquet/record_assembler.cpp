#include "record_assembler.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <unordered_set>

#include "parquet_errors.h"
#include "regroup/base/printable.h"
#include "regroup/base/utf8.h"

namespace regroup::parquet {
namespace {

constexpr int64_t kMaxRecordBytes = 16 << 20;  // as of a record of JSON
constexpr size_t kValueBytes = 16;

/// Not operator[]: it searches the keys one by one, and they are known to differ.
void add_member(Json& object, std::string key, Json value) {
  object.get_ref<Json::object_t&>().emplace_back(std::move(key), std::move(value));
}

[[noreturn]] void refuse_rows(const ColumnReader& column) {
  refuse("PARQUET_LEVELS", column.place(), "must have as many rows as the other columns");
}

}  // namespace

Json RecordAssembler::next(const std::string& where) {
  where_ = where;
  record_bytes_ = 0;
  Json record = read(root_);
  for (const ColumnReader& column : columns_) {
    if (column.repetition() != 0) refuse_rows(column);
  }
  return record;
}

void RecordAssembler::require_end() const {
  for (const ColumnReader& column : columns_) {
    if (!column.is_at_end()) refuse_rows(column);
  }
}

void RecordAssembler::spend(size_t bytes) {
  record_bytes_ += static_cast<int64_t>(bytes + kValueBytes);
  if (record_bytes_ <= kMaxRecordBytes) return;
  refuse("PARQUET_RECORD_LIMIT", where_,
         fmt::format("must have at most {} bytes, found more", kMaxRecordBytes),
         "cut long documents into several");
}

Json RecordAssembler::read(const Field& field) {
  spend(0);
  if (columns_[field.first_leaf].definition() < field.present_from) {
    pass(field, field.present_from);
    return {};
  }
  switch (field.kind) {
    case Field::Kind::kValue:
      return read_value(field);
    case Field::Kind::kObject:
      return read_object(field);
    case Field::Kind::kList:
      return read_list(field);
    case Field::Kind::kMap:
      return read_map(field);
  }
  return {};
}

Json RecordAssembler::read_value(const Field& field) {
  ColumnReader& column = columns_[field.first_leaf];
  Json value = column.take();
  const auto* text = value.get_ptr<const std::string*>();
  if (text == nullptr) return value;
  spend(text->size());
  if (const size_t valid = utf8_prefix(*text); valid < text->size()) {
    refuse("TEXT_UTF8", where_,
           fmt::format("{} must be UTF-8 text, found another byte at byte {} of it",
                       printable(field.name, 100), valid),
           "write the file again from its source");
  }
  return value;
}

Json RecordAssembler::read_object(const Field& field) {
  Json object = Json::object();
  for (const Field& child : field.children) {
    spend(child.name.size());
    add_member(object, child.name, read(child));
  }
  return object;
}

Json RecordAssembler::read_list(const Field& field) {
  Json list = Json::array();
  read_items(field, [&] { list.push_back(read(field.children.front())); });
  return list;
}

Json RecordAssembler::read_map(const Field& field) {
  Json object = Json::object();
  std::unordered_set<std::string> keys;
  read_items(field, [&] {
    const Json key = read(field.children.front());
    const auto* name = key.get_ptr<const std::string*>();
    if (name == nullptr || !keys.insert(*name).second) {
      refuse("PARQUET_LEVELS", where_,
             fmt::format("{} must have a key for each value, and another for each, found {}",
                         printable(field.name, 100), printable(key.dump(), 60)));
    }
    add_member(object, *name, read(field.children.back()));
  });
  return object;
}

void RecordAssembler::read_items(const Field& field, const std::function<void()>& read_item) {
  if (columns_[field.first_leaf].definition() < field.items_from) {
    return pass(field, field.items_from);
  }
  do read_item();
  while (goes_on(field));
}

/// Whether another item of this list follows; all of its columns must say the same.
bool RecordAssembler::goes_on(const Field& field) const {
  const bool more = columns_[field.first_leaf].repetition() == field.repeated_at;
  for (size_t i = field.first_leaf; i < field.end_leaf; ++i) {
    if ((columns_[i].repetition() == field.repeated_at) == more) continue;
    refuse("PARQUET_LEVELS", columns_[i].place(),
           "must have as many items in each list as the other columns");
  }
  return more;
}

/// Nothing is there: each column has one entry that says so.
void RecordAssembler::pass(const Field& field, int definition) {
  for (size_t i = field.first_leaf; i < field.end_leaf; ++i) columns_[i].pass(definition);
}

}  // namespace regroup::parquet
