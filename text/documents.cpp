#include "regroup/text/documents.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "json_records.h"
#include "parquet/parquet_records.h"
#include "regroup/base/error.h"
#include "regroup/base/human_number.h"
#include "regroup/base/input_file.h"
#include "regroup/base/notice.h"
#include "regroup/base/printable.h"
#include "regroup/base/utf8.h"
#include "regroup/base/words.h"
#include "regroup/text/text_buffer.h"
#include "text_checks.h"

namespace regroup {
namespace {

constexpr auto kTextKinds = std::to_array<std::string_view>({".txt", ".jsonl", ".ndjson", ".json"});
constexpr const char* kUsualField = "text";
constexpr const char* kMessages = "messages";  // looked for where there is no usual field
constexpr size_t kMaxDocumentBytes = size_t{1} << 30;
constexpr size_t kLongDocumentBytes = size_t{256} << 20;

[[noreturn]] void refuse(const char* code, const std::string& path, const std::string& message,
                         const std::string& hint = {}) {
  throw CheckpointError({.code = code, .message = message, .path = path, .hint = hint});
}

using Visit = std::function<bool(const Document&)>;

/// Hands documents on and remembers what it saw.
class Documents {
 public:
  explicit Documents(const Visit& visit) : visit_(visit) {}
  /// @return false when nobody wants more
  bool add(const Document& document) {
    if (is_blank(document.text)) return true;
    ++count_;
    return visit_(document);
  }
  int64_t count() const { return count_; }

 private:
  const Visit& visit_;
  int64_t count_ = 0;
};

void require_document_size(const TextBuffer& text) {
  if (text.view().size() <= kMaxDocumentBytes) return;
  refuse("TEXT_DOCUMENT_LIMIT", text.path(),
         fmt::format("one document must have at most {}, found more from byte {} on",
                     human_bytes(kMaxDocumentBytes), text.offset()),
         "say with `document-separator` what stands between the documents, or cut the file into "
         "several");
}

bool add_text(const TextBuffer& text, size_t bytes, Documents& documents) {
  const std::string_view document = text.view().substr(0, bytes);
  require_text(document, text.offset(), text.path());
  if (bytes > kLongDocumentBytes) {
    notice(fmt::format(
        "{}: the document at byte {} has {}, and all of it is held in memory; if there are "
        "several in it, `document-separator` says what stands between them",
        printable(text.path()), text.offset(), human_bytes(static_cast<int64_t>(bytes))));
  }
  return documents.add({.text = document, .read = text.share()});
}

void split_text(TextBuffer& text, const std::string& separator, Documents& documents) {
  size_t searched = 0;
  for (;;) {
    const size_t stop =
        separator.empty() ? std::string_view::npos : text.view().find(separator, searched);
    if (stop != std::string_view::npos) {
      if (!add_text(text, stop, documents)) return;
      text.take(stop + separator.size());
      searched = 0;
      continue;
    }
    require_document_size(text);
    // The separator may have begun in the last bytes.
    searched = text.view().size() - std::min(text.view().size(), separator.size());
    if (text.more()) continue;
    add_text(text, text.view().size(), documents);
    return;
  }
}

std::vector<std::string> field_names(const std::string& field) {
  std::vector<std::string> names;
  for (size_t start = 0; start <= field.size();) {
    const size_t stop = std::min(field.find(',', start), field.size());
    names.push_back(field.substr(start, stop - start));
    start = stop + 1;
  }
  return names;
}

using Names = std::vector<std::string>;

/// "prompt, messages (a list)": what a record offers, and a table of whose columns it has some.
std::string found_keys(const Json& record, const Names& unread) {
  if (!record.is_object()) return fmt::format("found a JSON {}", record.type_name());
  std::vector<std::string> keys;
  for (const auto& [key, value] : record.items()) {
    const bool text = value.is_string();
    keys.push_back(printable(key, 60) +
                   (text ? "" : fmt::format(" (no string: {})", value.type_name())));
  }
  for (const std::string& name : unread) keys.push_back(printable(name, 60));
  if (keys.empty()) return "found no keys";
  constexpr size_t kShown = 12;
  const bool more = keys.size() > kShown;
  if (more) keys.resize(kShown);
  return fmt::format("found the keys {}{}", join(keys, ", "), more ? " ..." : "");
}

[[noreturn]] void refuse_record(const Json& record, const std::string& name,
                                const std::string& where, const Names& unread) {
  const bool chat =
      record.is_object() && (record.contains("messages") || record.contains("conversations"));
  refuse("TEXT_FIELD", where,
         fmt::format("must be an object with a string \"{}\", {}", printable(name, 60),
                     found_keys(record, unread)),
         chat ? "write each conversation as \"messages\": [{\"role\": ..., \"content\": ...}, ...]"
              : "name the key that holds the text with `field`; several are joined: `field` "
                "prompt,completion");
}

std::string document_of(const Json& record, const std::vector<std::string>& names,
                        const DocumentOptions& options, const std::string& where,
                        const Names& unread) {
  std::string document;
  for (const std::string& name : names) {
    if (!record.is_object() || !record.contains(name) || !record[name].is_string()) {
      refuse_record(record, name, where, unread);
    }
    if (&name != &names.front()) document += options.field_separator;
    document += record[name].get_ref<const std::string&>();
  }
  return document;
}

/// The conversation that a record holds in place of a text, or nullptr.
const Json* messages_of(const Json& record, const std::vector<std::string>& names) {
  if (!record.is_object() || names.size() != 1) return nullptr;
  const bool usual = names.front() == kUsualField && !record.contains(kUsualField);
  const auto found = record.find(usual ? kMessages : names.front());
  if (found == record.end() || !found->is_array() || found->empty()) return nullptr;
  const bool messages = std::all_of(found->begin(), found->end(), [](const Json& one) {
    return one.is_object() && one.contains("role");
  });
  return messages ? &*found : nullptr;
}

bool is_parquet(const std::string& path) { return path.ends_with(".parquet"); }

bool is_lines(const std::string& path) {
  const std::string name = without_compression(path);
  return name.ends_with(".jsonl") || name.ends_with(".ndjson");
}

/// The documents of records, by the keys that hold them.
class RecordDocuments {
 public:
  RecordDocuments(const DocumentOptions& options, Documents& documents)
      : options_(options), names_(field_names(options.field)), documents_(documents) {}

  /// @param unread  other columns of the table that the record is a row of
  bool add(const Json& record, const std::string& where, double read, const Names& unread = {}) {
    if (const Json* messages = messages_of(record, names_)) {
      const std::string conversation = messages->dump();
      return documents_.add({conversation, /*is_chat=*/true, where, read});
    }
    const std::string document = document_of(record, names_, options_, where, unread);
    return documents_.add({.text = document, .read = read});
  }

  /// Columns of a table that are looked at.
  std::vector<std::string> columns() const {
    std::vector<std::string> columns = names_;
    if (names_.size() == 1 && names_.front() == kUsualField) columns.emplace_back(kMessages);
    return columns;
  }

 private:
  const DocumentOptions& options_;
  std::vector<std::string> names_;
  Documents& documents_;
};

void read_file(const std::string& path, const DocumentOptions& options, Documents& documents) {
  RecordDocuments records(options, documents);
  if (is_parquet(path)) {
    parquet::visit_records(
        path,
        [&](const parquet::Row& row) {
          return records.add(row.record, row.where, row.read, row.unread);
        },
        records.columns());
    return;
  }
  TextBuffer text(path);
  if (without_compression(path).ends_with(".txt")) {
    split_text(text, options.separator, documents);
    return;
  }
  visit_json_records(text, is_lines(path), [&](const Json& record, const std::string& where) {
    return records.add(record, where, text.share());
  });
}

}  // namespace

std::string parse_separator(const std::string& text) {
  std::string separator;
  for (size_t i = 0; i < text.size(); ++i) {
    const char next = text[i] == '\\' && i + 1 < text.size() ? text[i + 1] : '\0';
    const size_t known = std::string_view("nrt\\").find(next);
    if (next != '\0' && known != std::string_view::npos) {
      separator += "\n\r\t\\"[known];
      ++i;
    } else {
      separator += text[i];
    }
  }
  return separator;
}

std::string typed_separator(const std::string& separator) {
  std::string text;
  for (const char c : separator) {
    const size_t known = std::string_view("\n\r\t\\").find(c);
    text += known == std::string_view::npos ? std::string(1, c) : std::string{'\\', "nrt\\"[known]};
  }
  return text;
}

bool is_text_file(const std::string& path) {
  const std::string name = without_compression(path);
  return is_parquet(path) ||
         std::any_of(kTextKinds.begin(), kTextKinds.end(),
                     [&](std::string_view kind) { return name.ends_with(kind); });
}

bool is_packed(const std::string& path) {
  return is_parquet(path) || path != without_compression(path);
}

void require_text_file(const std::string& path, const std::string& hint) {
  if (is_text_file(path)) return;
  static_cast<void>(InputFile(path));  // a folder, or no file at all, is not a matter of its name
  throw UnsupportedError({.code = "TEXT_KIND",
                          .message =
                              "text files must end in .txt, .jsonl or .json, in one of these and "
                              ".gz or .zst, or in .parquet",
                          .path = path,
                          .hint = hint});
}

int64_t read_documents_while(const std::string& path, const DocumentOptions& options,
                             const std::function<bool(const Document&)>& visit) {
  require_text_file(path);
  Documents documents(visit);
  read_file(path, options, documents);
  if (documents.count() == 0) {
    refuse("TEXT_EMPTY", path, "must hold some text, found none",
           "check that this is the right file");
  }
  return documents.count();
}

int64_t read_documents(const std::string& path, const DocumentOptions& options,
                       const std::function<void(const Document&)>& visit) {
  return read_documents_while(path, options, [&](const Document& document) {
    visit(document);
    return true;
  });
}

int64_t count_words(std::string_view text) {
  int64_t pieces = 1;
  bool in_space = false;
  for (size_t at = 0; at < text.size();) {
    const CodePoint c = decode_front(text.substr(at));
    const bool space = is_python_space(c.value);  // a cut character counts as a letter
    pieces += space && !in_space;
    in_space = space;
    at += std::max<size_t>(1, c.length);
  }
  return pieces;
}

}  // namespace regroup
