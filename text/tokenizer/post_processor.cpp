#include "post_processor.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "part_errors.h"
#include "part_reader.h"
#include "regroup/base/printable.h"

namespace regroup {
namespace {

const Json* member(const Json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() ? nullptr : &*found;
}

std::optional<int32_t> id_of(const Json& value) {
  if (!value.is_number_unsigned() || value.get<uint64_t>() > INT32_MAX) return std::nullopt;
  return value.get<int32_t>();
}

/// The ids that a special token of a template stands for.
std::vector<int32_t> special_ids(const Part& part, const Json& item) {
  const Json* name = member(item, "id");
  const Json* specials = part.find("special_tokens");
  const Json* special = name != nullptr && name->is_string() && specials != nullptr
                            ? member(*specials, name->get_ref<const std::string&>().c_str())
                            : nullptr;
  const Json* list = special == nullptr ? nullptr : member(*special, "ids");
  std::vector<int32_t> ids;
  if (list != nullptr && list->is_array()) {
    for (const Json& each : *list) {
      if (const auto id = id_of(each)) ids.push_back(*id);
    }
  }
  if (list == nullptr || ids.empty() || ids.size() != list->size()) {
    wrong_part(
        part.path(), "TOK_PART",
        fmt::format("the special token {} of the template must have ids in \"special_tokens\"",
                    printable(item.dump(), 80)));
  }
  return ids;
}

/// Asked after each item: a file of many that all stand for many would fill the memory.
void require_one(const TextEnds& ends, const std::string& path) {
  if (ends.front.size() <= 1 && ends.back.size() <= 1) return;
  refuse_part(path, fmt::format("the post_processor must put at most one token in front of a text "
                                "and one behind it, found {} and {}",
                                ends.front.size(), ends.back.size()));
}

TextEnds read_template(const Part& part) {
  const Json* single = part.find("single");
  if (single == nullptr || !single->is_array()) part.refuse("must have a list \"single\"");
  TextEnds ends;
  int texts = 0;
  for (const Json& item : *single) {
    if (member(item, "Sequence") != nullptr) {
      ++texts;
    } else if (const Json* special = member(item, "SpecialToken")) {
      auto& side = texts == 0 ? ends.front : ends.back;
      for (const int32_t id : special_ids(part, *special)) side.push_back(id);
      require_one(ends, part.path());
    } else {
      part.refuse("has an item that is neither a text nor a special token");
    }
  }
  if (texts != 1) part.refuse("must have the text once in \"single\"");
  return ends;
}

/// ["</s>", 2] of BERT's kind.
int32_t named_id(const Part& part, const char* key) {
  const Json* pair = part.find(key);
  const bool fits = pair != nullptr && pair->is_array() && pair->size() == 2;
  const auto id = fits ? id_of((*pair)[1]) : std::nullopt;
  if (!id) part.refuse(fmt::format("must have a token and its id in \"{}\"", key));
  return *id;
}

}  // namespace

TextEnds read_post_processor(const Json* root, const std::string& path) {
  TextEnds ends;
  for (const Part& part : parts_of(root, "post_processor", "processors", path)) {
    TextEnds more;
    if (part.type() == "TemplateProcessing") {
      more = read_template(part);
    } else if (part.type() == "RobertaProcessing" || part.type() == "BertProcessing") {
      more = {.front = {named_id(part, "cls")}, .back = {named_id(part, "sep")}};
    } else if (part.type() != "ByteLevel") {
      part.refuse();
    }
    ends.front.insert(ends.front.begin(), more.front.begin(), more.front.end());
    ends.back.insert(ends.back.end(), more.back.begin(), more.back.end());
    require_one(ends, path);
  }
  return ends;
}

}  // namespace regroup
