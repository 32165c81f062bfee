#include "prepare.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "regroup/base/digest.h"
#include "regroup/base/error.h"
#include "regroup/base/folder.h"
#include "regroup/base/output_file.h"
#include "regroup/base/path.h"
#include "regroup/base/printable.h"
#include "regroup/base/strict_json.h"
#include "regroup/model/runtime.h"
#include "regroup/text/encoded_documents.h"

namespace regroup {
namespace {

/// Opened when the first text asks for it: token files alone need no tokenizer.
class LazyTokenizer {
 public:
  LazyTokenizer(std::string model, int64_t vocab_size, const DocumentOptions& documents)
      : model_(std::move(model)), vocab_size_(vocab_size), documents_(documents) {}
  const Tokenizer& get() {
    if (!tokenizer_) tokenizer_.emplace(open_tokenizer(model_, vocab_size_, documents_));
    return *tokenizer_;
  }
  bool available() const { return Tokenizer::is_in(model_); }

 private:
  std::string model_;
  int64_t vocab_size_;
  DocumentOptions documents_;
  std::optional<Tokenizer> tokenizer_;
};

constexpr const char* kSourceKey = "source_sha256";

/// What decides the ids of a cached token file.
Json cache_key(const Json& source_sha256, const UptrainOptions& options,
               const Tokenizer& tokenizer) {
  Json key = {{kSourceKey, source_sha256},
              {"field", options.documents.field},
              {"document_separator", options.documents.separator},
              {"tokenizer_sha256", tokenizer.digest()},
              {"add_bos", tokenizer.adds_bos()},
              {"add_eos", tokenizer.adds_eos()},
              {"bos", tokenizer.bos_id()},
              {"eos", tokenizer.eos_id()}};
  const std::string& joined = options.documents.field_separator;
  if (!joined.empty()) key["field_separator"] = joined;
  if (options.documents.parse_special_tokens) key["parse_special_tokens"] = true;
  return key;
}

constexpr const char* kChatKey = "chat";
constexpr int kChatRevision = 1;  // of what renders conversations

/// What decides the ids of conversations besides.
Json chat_key(const UptrainOptions& options) {
  return {{"template_sha256", chat_template_digest(options.model)},
          {"date", options.documents.chat_date},
          {"revision", kChatRevision}};
}

/// Whether `out` was made with that key.
bool is_cached(const std::string& out, const Json& key, const UptrainOptions& options) {
  const std::string sidecar = out + ".json";
  if (!path_exists(out) || !path_exists(sidecar)) return false;
  const Json found = read_strict_json(sidecar, kConfigJson);
  Json wanted = key;
  if (found.contains(kChatKey)) wanted[kChatKey] = chat_key(options);
  return found == wanted;
}

std::string cached_file(const std::string& path, size_t index, const std::string& cache) {
  return fmt::format("{}/{:02}-{}.bin", cache, index, stream_name(path));
}

/// The file that the first process has tokenized `path` into.
std::string find_tokenized(const std::string& path, size_t index, const UptrainOptions& options,
                           const Tokenizer& tokenizer, const std::string& cache) {
  const std::string out = cached_file(path, index, cache);
  const std::string sidecar = out + ".json";
  // The first process has digested the text: hours of that, for large ones, would keep it waiting.
  const Json found =
      path_exists(sidecar) ? read_strict_json(sidecar, kConfigJson) : Json(Json::object());
  const Json source = found.is_object() ? found.value(kSourceKey, Json()) : Json();
  if (is_cached(out, cache_key(source, options, tokenizer), options)) return out;
  throw ConfigError({.code = "DATA_NOT_SHARED",
                     .message = "must hold the tokens that the process of rank 0 has made of a "
                                "text, found none, or others",
                     .path = out,
                     .hint = "put OUT where all processes see the same files, or give token files "
                             "(regroup tokenize)"});
}

std::string tokenize(const std::string& path, size_t index, const UptrainOptions& options,
                     const Tokenizer& tokenizer, int64_t vocab_size, const std::string& cache,
                     const TrainObserver& observer) {
  const std::string out = cached_file(path, index, cache);
  Json key = cache_key(sha256_of_file(path), options, tokenizer);
  const std::string sidecar = out + ".json";
  if (is_cached(out, key, options)) return out;
  make_folder(cache);
  remove_tree(sidecar);  // killed between the two files, it must not vouch for other ids
  TokenFileWriter writer(out, vocab_size);
  bool holds_chats = false;
  encode_documents(path, tokenizer, options.documents, DocumentEnds::of(tokenizer), get_threads(),
                   [&](const EncodedDocument& document) {
                     writer.add(document.ids);
                     holds_chats = holds_chats || document.is_chat;
                     if (observer.tokenizing) observer.tokenizing(path, document.read);
                   });
  writer.finish();
  if (holds_chats) key[kChatKey] = chat_key(options);
  write_file_atomically(sidecar, key.dump(2) + "\n");
  return out;
}

/// A token file made by `regroup tokenize` says whose ids it holds.
void check_sidecar(const std::string& path, LazyTokenizer& tokenizer) {
  const std::string sidecar = path + ".json";
  if (!path_exists(sidecar) || !tokenizer.available()) return;
  const Json facts = read_strict_json(sidecar, kConfigJson);
  const std::string theirs = facts.is_object() ? facts.value("tokenizer_sha256", "") : "";
  if (theirs.empty() || theirs == tokenizer.get().digest()) return;
  throw CheckpointError({.code = "TOK_MISMATCH",
                         .message = fmt::format("was made with another tokenizer (SHA-256 {}) than "
                                                "the model's ({})",
                                                printable(theirs, 64), tokenizer.get().digest()),
                         .path = path,
                         .hint = "tokenize the text again with this model's tokenizer"});
}

/// Token files for options.data: texts tokenized into `cache`, token files checked against the tokenizer.
/// @param writes  false: another process has tokenized, and its files must be in the cache
std::vector<std::string> prepare_data(const UptrainOptions& options, int64_t vocab_size,
                                      const std::string& cache, const TrainObserver& observer,
                                      bool writes) {
  LazyTokenizer tokenizer(options.model, vocab_size, options.documents);
  std::vector<std::string> files;
  for (size_t i = 0; i < options.data.size(); ++i) {
    const std::string& path = options.data[i];
    if (!is_text_file(path)) {
      check_sidecar(path, tokenizer);
      files.push_back(path);
    } else if (writes) {
      files.push_back(tokenize(path, i, options, tokenizer.get(), vocab_size, cache, observer));
    } else {
      files.push_back(find_tokenized(path, i, options, tokenizer.get(), cache));
    }
  }
  return files;
}

}  // namespace

std::unique_ptr<Dataset> open_data(const UptrainOptions& options, int64_t vocab_size,
                                   const std::string& cache, const TrainObserver& observer,
                                   Processes& processes) {
  std::vector<std::string> files;
  processes.first_prepares(
      [&] { files = prepare_data(options, vocab_size, cache, observer, /*writes=*/true); });
  if (!processes.is_first()) {
    files = prepare_data(options, vocab_size, cache, observer, /*writes=*/false);
  }
  try {
    return std::make_unique<Dataset>(files, options.token_format, options.seq_len, vocab_size,
                                     options.seed);
  } catch (const CheckpointError& error) {
    ErrorInfo info = error.info();
    // Users know the file that they gave, not the token file made from it.
    const auto file = std::find(files.begin(), files.end(), info.path);
    if (file != files.end()) info.path = options.data[static_cast<size_t>(file - files.begin())];
    throw CheckpointError(info);
  }
}

std::optional<TokenStream> read_validation(const UptrainOptions& options, int64_t vocab_size) {
  if (options.valid.empty()) return std::nullopt;
  LazyTokenizer tokenizer(options.model, vocab_size, options.documents);
  TokenStream stream;
  if (is_text_file(options.valid)) {
    stream =
        read_text_stream(options.valid, tokenizer.get(), options.documents, options.valid_tokens);
  } else {
    check_sidecar(options.valid, tokenizer);
    stream =
        read_token_stream(options.valid, options.token_format, vocab_size, options.valid_tokens);
  }
  require_window(stream);
  return stream;
}

}  // namespace regroup
