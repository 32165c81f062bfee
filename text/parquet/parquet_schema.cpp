#include "parquet_schema.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string_view>

#include "parquet_errors.h"
#include "regroup/base/printable.h"
#include "regroup/base/utf8.h"

namespace regroup::parquet {
namespace {

constexpr int kMaxSchemaDepth = 48;  // JSON has 64 levels at most
constexpr size_t kMaxColumnPath = 4096;

std::optional<ValueKind> kind_of(PhysicalType type, Meaning meaning) {
  if (meaning == Meaning::kOther) return std::nullopt;
  const bool is_unsigned = meaning == Meaning::kUnsigned;
  switch (type) {
    case PhysicalType::kBoolean:
      return ValueKind::kBoolean;
    case PhysicalType::kInt32:
      return is_unsigned ? ValueKind::kUint32 : ValueKind::kInt32;
    case PhysicalType::kInt64:
      return is_unsigned ? ValueKind::kUint64 : ValueKind::kInt64;
    case PhysicalType::kFloat:
      return ValueKind::kFloat;
    case PhysicalType::kDouble:
      return ValueKind::kDouble;
    case PhysicalType::kByteArray:
      if (meaning == Meaning::kText) return ValueKind::kText;
      return std::nullopt;
    case PhysicalType::kInt96:
    case PhysicalType::kFixedLengthByteArray:
      return std::nullopt;
  }
  return std::nullopt;
}

struct Node {
  const SchemaElement* element;
  int repetition;  ///< levels up to here
  int definition;
  size_t chunk = 0;
  std::string path;
  std::vector<Node> children;

  bool is_group() const { return !element->type; }
  bool is_repeated() const { return element->repetition == Repetition::kRepeated; }
};

/// The flat list of the footer as a tree.
class TreeBuilder {
 public:
  TreeBuilder(const std::vector<SchemaElement>& elements, const std::string& path)
      : elements_(elements), path_(path) {}

  Node build() {
    if (elements_.empty()) fail("must hold the names of its columns, found none");
    Node root = next(nullptr, 0);
    if (!root.is_group()) fail("must begin with a group of columns, found a column");
    if (at_ < elements_.size()) fail("must be one tree, found more behind it");
    return root;
  }
  size_t n_chunks() const { return n_chunks_; }

 private:
  [[noreturn]] void fail(const std::string& message) const {
    refuse("PARQUET_SCHEMA", path_, "its schema " + message);
  }

  Node next(const Node* parent, int depth) {
    if (at_ == elements_.size()) fail("ends inside a group");
    if (depth > kMaxSchemaDepth) fail(fmt::format("must nest at most {} deep", kMaxSchemaDepth));
    const SchemaElement& element = elements_[at_++];
    if (!is_utf8(element.name)) fail("must have names in UTF-8");
    Node node{.element = &element, .repetition = 0, .definition = 0};
    if (parent != nullptr) {
      node.repetition = parent->repetition + (node.is_repeated() ? 1 : 0);
      node.definition = parent->definition + (element.repetition != Repetition::kRequired ? 1 : 0);
      node.path = parent->path.empty() ? element.name : parent->path + "." + element.name;
    }
    if (node.path.size() > kMaxColumnPath) {
      fail(fmt::format("must have names of at most {} bytes", kMaxColumnPath));
    }
    if (!node.is_group()) node.chunk = n_chunks_++;
    add_children(node, depth);
    return node;
  }

  void add_children(Node& node, int depth) {
    const int64_t count = node.element->n_children;
    if (!node.is_group() && count != 0) fail("must have columns without children");
    std::set<std::string_view> names;
    for (int64_t i = 0; i < count; ++i) {
      node.children.push_back(next(&node, depth + 1));
      if (names.insert(node.children.back().element->name).second) continue;
      fail(fmt::format("must have another name for each column, found {} twice",
                       printable(node.children.back().path, 100)));
    }
  }

  const std::vector<SchemaElement>& elements_;
  const std::string& path_;
  size_t at_ = 0;
  size_t n_chunks_ = 0;
};

/// True where the repeated group inside a LIST is itself the item, as old writers have it.
bool is_item_itself(const Node& list, const Node& repeated) {
  if (!repeated.is_group() || repeated.children.size() != 1) return true;
  if (repeated.children.front().is_repeated()) return true;
  const std::string& name = repeated.element->name;
  return name == "array" || name == list.element->name + "_tuple";
}

/// The tree as records have it, without what is not read.
class FieldBuilder {
 public:
  FieldBuilder(std::vector<Leaf>& leaves, const std::string& path) : leaves_(leaves), path_(path) {}

  std::optional<Field> field(const Node& node) {
    std::optional<Field> found = node.is_repeated() ? list_of(node, node) : value(node);
    if (!found) return std::nullopt;
    found->name = node.element->name;
    if (node.element->repetition == Repetition::kOptional) found->present_from = node.definition;
    return found;
  }

 private:
  /// What `node` is, whether it is optional or repeated aside.
  std::optional<Field> value(const Node& node) {
    if (!node.is_group()) return leaf(node);
    if (node.element->meaning == Meaning::kList) return list(node);
    const bool is_map = node.element->meaning == Meaning::kMap && node.children.size() == 1 &&
                        node.children.front().children.size() == 2 &&
                        node.children.front().is_repeated();
    return is_map ? map(node.children.front()) : object(node);
  }

  std::optional<Field> leaf(const Node& node) {
    const std::optional<ValueKind> kind = kind_of(*node.element->type, node.element->meaning);
    if (!kind) return std::nullopt;
    leaves_.push_back({.chunk = node.chunk,
                       .name = node.path,
                       .type = *node.element->type,
                       .kind = *kind,
                       .max_repetition = node.repetition,
                       .max_definition = node.definition});
    return Field{.first_leaf = leaves_.size() - 1, .end_leaf = leaves_.size()};
  }

  std::optional<Field> object(const Node& node) {
    Field made{.kind = Field::Kind::kObject, .first_leaf = leaves_.size()};
    for (const Node& child : node.children) {
      if (std::optional<Field> kept = field(child)) made.children.push_back(std::move(*kept));
    }
    if (made.children.empty()) return std::nullopt;
    made.end_leaf = leaves_.size();
    return made;
  }

  std::optional<Field> list(const Node& node) {
    if (node.children.size() != 1 || !node.children.front().is_repeated()) {
      refuse("PARQUET_SCHEMA", path_,
             fmt::format("the list {} must hold one repeated part", printable(node.path, 100)));
    }
    const Node& repeated = node.children.front();
    return list_of(repeated, is_item_itself(node, repeated) ? repeated : repeated.children.front());
  }

  /// @param item  `repeated` itself, or the only child of it
  std::optional<Field> list_of(const Node& repeated, const Node& item) {
    std::optional<Field> kept = &item == &repeated ? value(item) : field(item);
    if (!kept) return std::nullopt;
    Field made = repeated_field(Field::Kind::kList, repeated, kept->first_leaf);
    made.children.push_back(std::move(*kept));
    return made;
  }

  std::optional<Field> map(const Node& repeated) {
    const size_t first = leaves_.size();
    std::optional<Field> key = field(repeated.children.front());
    const bool is_text = key && key->kind == Field::Kind::kValue &&
                         leaves_[key->first_leaf].kind == ValueKind::kText;
    if (!is_text) {
      refuse_unsupported(path_, fmt::format("the keys of the map {} must be texts",
                                            printable(repeated.path, 100)));
    }
    std::optional<Field> mapped = field(repeated.children.back());
    if (!mapped) {
      leaves_.resize(first);
      return std::nullopt;
    }
    Field made = repeated_field(Field::Kind::kMap, repeated, first);
    made.children.push_back(std::move(*key));
    made.children.push_back(std::move(*mapped));
    return made;
  }

  Field repeated_field(Field::Kind kind, const Node& repeated, size_t first_leaf) const {
    return {.kind = kind,
            .items_from = repeated.definition,
            .repeated_at = repeated.repetition,
            .first_leaf = first_leaf,
            .end_leaf = leaves_.size()};
  }

  std::vector<Leaf>& leaves_;
  const std::string& path_;
};

/// @return the names of the others
std::vector<std::string> keep_wanted(std::vector<Node>& columns,
                                     const std::vector<std::string>& wanted) {
  const auto is_wanted = [&](const Node& column) {
    return std::find(wanted.begin(), wanted.end(), column.element->name) != wanted.end();
  };
  std::vector<std::string> others;
  if (std::none_of(columns.begin(), columns.end(), is_wanted)) return others;
  for (const Node& column : columns) {
    if (!is_wanted(column)) others.push_back(column.element->name);
  }
  std::erase_if(columns, [&](const Node& column) { return !is_wanted(column); });
  return others;
}

}  // namespace

Schema make_schema(const std::vector<SchemaElement>& elements, const std::string& path,
                   const std::vector<std::string>& wanted) {
  TreeBuilder tree(elements, path);
  Node root = tree.build();
  Schema schema{.n_chunks = tree.n_chunks(), .unwanted = keep_wanted(root.children, wanted)};
  SchemaElement record = *root.element;
  record.repetition = Repetition::kRequired;  // some writers say otherwise; it counts in no level
  record.meaning = Meaning::kAsStored;
  root.element = &record;
  std::optional<Field> made = FieldBuilder(schema.leaves, path).field(root);
  if (!made) {
    refuse_unsupported(path, "must have a column of texts, numbers or booleans, found none");
  }
  schema.root = std::move(*made);
  return schema;
}

}  // namespace regroup::parquet
