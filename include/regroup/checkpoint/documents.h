#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace regroup {

/// How text files are cut into documents.
struct DocumentOptions {
  std::string field = "text";  ///< .jsonl: the key that holds a document
  std::string separator;       ///< .txt: stands between documents and is removed; "": one document
};

/// Calls `visit` with every document of a .txt or .jsonl file, in order.
/// Documents must be UTF-8 without NUL; empty documents (and blank lines of a .jsonl) are skipped.
/// @return how many documents there were
/// @throws CheckpointError  TEXT_EMPTY, TEXT_UTF8, TEXT_BINARY, JSONL_LINE_LIMIT, JSON_SYNTAX (with
///                          the line), TEXT_FIELD; UnsupportedError for another extension
int64_t read_documents(const std::string& path, const DocumentOptions& options,
                       const std::function<void(std::string_view)>& visit);

/// A separator as users type it: \n, \t and \\ stand for line feed, tab and backslash.
std::string parse_separator(const std::string& text);

/// True if `path` ends in .txt or .jsonl.
bool is_text_file(const std::string& path);
/// @throws UnsupportedError TEXT_KIND unless `path` is_text_file; CheckpointError for a folder, or
///         nothing there
/// @param hint  what to do with a file of another name
void require_text_file(const std::string& path,
                       const std::string& hint = "if it holds text, rename it to .txt or .jsonl");

/// Pieces of a split on white space, as lm-evaluation-harness counts words: len(re.split(r"\s+", text))
/// of Python. White space is Unicode's; at the start or the end of the text it bounds an empty piece,
/// which counts.
int64_t count_words(std::string_view text);

}  // namespace regroup
