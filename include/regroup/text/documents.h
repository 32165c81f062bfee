#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace regroup {

/// How text files are cut into documents, and what is read in them.
struct DocumentOptions {
  /// JSON: the key that holds a document, or several with commas between: their texts are joined.
  std::string field = "text";
  std::string separator;        ///< .txt: stands between documents and is removed; "": one document
  std::string field_separator;  ///< JSON: put between the texts of several keys
  bool parse_special_tokens = false;  ///< the text of a special token is the token
  std::string chat_date;  ///< YYYY-MM-DD: the day that a chat template writes down; "": none
};

/// A document of a text file.
struct Document {
  std::string_view text;
  bool is_chat =
      false;  ///< `text` is a conversation as JSON: [{"role": "user", "content": "Hello"}, ...]
  std::string where = {};  ///< file and line of a conversation, for errors
  double read = 0;         ///< share of the file that was read so far, in [0, 1]

  operator std::string_view() const { return text; }  // NOLINT: most documents are their text
};

/// Calls `visit` with every document of a text file, in order: a .txt (one document, or several with a
/// separator), a .jsonl or .ndjson (an object a line), a .json (an array of objects, or one after the other),
/// each plain or packed with gzip or zstd, or a .parquet (a row each). The file is read as a stream: memory holds the
/// longest document, of Parquet a page of the columns that are asked for too.
/// Documents must be UTF-8 without NUL; a byte order mark is left out; empty documents are skipped.
/// A record whose key holds a list of messages is a conversation; where the key is "text" and missing, "messages" is looked
/// for too.
/// @return how many documents there were
/// @throws CheckpointError  PARQUET_*, TEXT_EMPTY, TEXT_UTF8, TEXT_BINARY, TEXT_COMPRESSED, TEXT_DOCUMENT_LIMIT,
///                          JSONL_LINE_LIMIT, JSON_SYNTAX (with the line), TEXT_FIELD; UnsupportedError for
///                          another extension; Error when a signal asks for a stop
int64_t read_documents(const std::string& path, const DocumentOptions& options,
                       const std::function<void(const Document&)>& visit);
/// The same until `visit` returns false. What stands behind is not looked at.
int64_t read_documents_while(const std::string& path, const DocumentOptions& options,
                             const std::function<bool(const Document&)>& visit);

/// A separator as users type it: \n, \r, \t and \\ stand for line feed, carriage return, tab and backslash.
std::string parse_separator(const std::string& text);
/// The text that parse_separator() reads as `separator`.
std::string typed_separator(const std::string& separator);

/// True if `path` ends as a text file does: .txt, .jsonl, .ndjson, .json, one of them and .gz or .zst, or .parquet.
bool is_text_file(const std::string& path);
/// True if its name says that more text may come out of a file than it has bytes: .gz, .zst, .parquet.
bool is_packed(const std::string& path);
/// @throws UnsupportedError TEXT_KIND unless `path` is_text_file; CheckpointError for a folder, or
///         nothing there
/// @param hint  what to do with a file of another name
void require_text_file(const std::string& path,
                       const std::string& hint = "if it holds text, name it .txt or .jsonl");

/// Pieces of a split on white space, as lm-evaluation-harness counts words: len(re.split(r"\s+", text))
/// of Python. White space is Unicode's; at the start or the end of the text it bounds an empty piece,
/// which counts.
int64_t count_words(std::string_view text);

}  // namespace regroup
