#include "regroup/text/tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <mutex>
#include <optional>

#include "regroup/base/digest.h"
#include "regroup/base/error.h"
#include "regroup/base/path.h"
#include "regroup/base/printable.h"
#include "regroup/text/chat_template.h"
#include "tokenizer/gpt2_files.h"
#include "tokenizer/tokenizer_choice.h"
#include "tokenizer/tokenizer_kind.h"

namespace regroup {
namespace {

/// @throws ConfigError FLAG_VALUE unless `date` is "" or a day as 2026-01-31
void require_date(const std::string& date) {
  if (date.empty()) return;
  std::chrono::year_month_day day{};
  int year = 0;
  unsigned month = 0;
  unsigned number = 0;
  char end = 0;
  const bool read = date.size() == 10 &&
                    std::sscanf(date.c_str(), "%4d-%2u-%2u%c", &year, &month, &number, &end) == 3;
  if (read) day = {std::chrono::year(year), std::chrono::month(month), std::chrono::day(number)};
  if (read && year >= 1900 && day.ok()) return;
  throw ConfigError(
      {.code = "FLAG_VALUE",
       .message = fmt::format("`chat-date` must be a day such as 2026-01-31, found {}",
                              printable(date, 40)),
       .hint = "leave it out unless the chat template asks for a date"});
}

}  // namespace

struct Tokenizer::Use {
  bool special = false;  ///< the text of a special token is the token
  bool add_bos = false;
  bool add_eos = false;
};

/// The folder's chat template, read when the first conversation comes.
struct Tokenizer::Conversations {
  explicit Conversations(std::string of) : folder(std::move(of)) {}

  const ChatTemplate& chat_template(Kind& kind) {
    const std::lock_guard lock(reading);
    if (!opened) {
      kind.allow_special_tokens();
      opened.emplace(ChatTemplate::open(folder, date));
    }
    return *opened;
  }

  const std::string folder;
  std::string date;
  std::mutex reading;
  std::optional<ChatTemplate> opened;
};

Tokenizer::Tokenizer(std::unique_ptr<Kind> kind, std::string folder)
    : kind_(std::move(kind)), conversations_(std::make_unique<Conversations>(std::move(folder))) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Tokenizer Tokenizer::open(const std::string& folder) {
  return Tokenizer(choose_tokenizer(folder), folder);
}

bool Tokenizer::is_in(const std::string& folder) {
  return path_exists(folder + "/tokenizer.json") || path_exists(folder + "/tokenizer.model") ||
         has_gpt2_files(folder);
}

void Tokenizer::parse_special_tokens() {
  kind_->allow_special_tokens();
  parses_special_ = true;
}

std::vector<int32_t> Tokenizer::encode(std::string_view text) const {
  return encode(text, adds_bos(), adds_eos());
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, bool add_bos, bool add_eos) const {
  return encode(text, SIZE_MAX, Use{parses_special_, add_bos, add_eos});
}

std::vector<int32_t> Tokenizer::encode_front(std::string_view text, size_t enough) const {
  return encode(text, enough, Use{parses_special_, adds_bos(), adds_eos()});
}

std::string_view Tokenizer::text_of(const Document& document, std::string& written) const {
  if (!document.is_chat) return document.text;
  written = conversations_->chat_template(*kind_).render(document.text, document.where);
  return written;
}

Tokenizer::Use Tokenizer::use_of(const Document& document) const {
  if (document.is_chat) return {.special = true};
  return {parses_special_, adds_bos(), adds_eos()};
}

std::vector<int32_t> Tokenizer::encode(const Document& document, std::string_view text,
                                       bool add_bos, bool add_eos) const {
  return encode(text, SIZE_MAX, Use{document.is_chat || parses_special_, add_bos, add_eos});
}

std::vector<int32_t> Tokenizer::encode_front(const Document& document, std::string_view text,
                                             size_t enough) const {
  return encode(text, enough, use_of(document));
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, size_t enough, const Use& use) const {
  std::vector<int32_t> ids;
  if (use.add_bos && bos_id() >= 0) ids.push_back(bos_id());
  const bool whole = kind_->encode(text, enough, use.special, ids);
  if (kind_->highest_added() >= rows_) require_rows(ids);
  if (whole && use.add_eos && eos_id() >= 0) ids.push_back(eos_id());
  return ids;
}

std::string Tokenizer::decode(const std::vector<int32_t>& ids) const {
  for (const int32_t id : ids) {
    if (id >= 0) continue;
    throw CheckpointError({.code = "TOK_ID_RANGE",
                           .message = fmt::format("token ids must not be negative, found {}", id)});
  }
  return kind_->decode(ids);
}

int64_t Tokenizer::prefix_bytes(std::string_view text, size_t n_ids) const {
  return prefix_bytes(Document{text}, text, n_ids);
}

int64_t Tokenizer::prefix_bytes(const Document& document, std::string_view text,
                                size_t n_ids) const {
  const Use use = use_of(document);
  const size_t n_special = use.add_bos && bos_id() >= 0 ? 1 : 0;
  return n_ids <= n_special ? 0 : kind_->prefix_bytes(text, n_ids - n_special, use.special);
}

int64_t Tokenizer::vocab_size() const { return kind_->vocab_size(); }
bool Tokenizer::adds_bos() const { return kind_->ends.add_bos; }
bool Tokenizer::adds_eos() const { return kind_->ends.add_eos; }
int32_t Tokenizer::bos_id() const { return kind_->ends.bos; }
int32_t Tokenizer::eos_id() const { return kind_->ends.eos; }
const std::string& Tokenizer::digest() const { return kind_->digest; }

void Tokenizer::require_rows(const std::vector<int32_t>& ids) const {
  const auto beyond =
      std::find_if(ids.begin(), ids.end(), [this](int32_t id) { return id >= rows_; });
  if (beyond == ids.end()) return;
  throw CheckpointError(
      {.code = "TOK_VOCAB_MISMATCH",
       .message = fmt::format("a text holds the added token \"{}\", whose id {} the model has no "
                              "row for: it has {} embedding rows",
                              printable(decode({*beyond}), 40), *beyond, rows_),
       .path = model_,
       .hint = "take the token out of the text, or give the model rows for its added tokens"});
}

void require_vocabulary(Tokenizer& tokenizer, int64_t rows, const std::string& path,
                        bool with_eos) {
  if (tokenizer.vocab_size() > rows) {
    throw CheckpointError(
        {.code = "TOK_VOCAB_MISMATCH",
         .message = fmt::format("the tokenizer has {} pieces, the model only {} embedding rows",
                                tokenizer.vocab_size(), rows),
         .path = path,
         .hint = "the tokenizer belongs to another model"});
  }
  const int32_t bos = tokenizer.adds_bos() ? tokenizer.bos_id() : -1;
  const int32_t eos = with_eos || tokenizer.adds_eos() ? tokenizer.eos_id() : -1;
  const int32_t highest = std::max(bos, eos);
  if (highest >= rows) {
    throw CheckpointError(
        {.code = "TOK_VOCAB_MISMATCH",
         .message =
             fmt::format("the tokenizer begins or ends texts with the id {}, the model has only {} "
                         "embedding rows",
                         highest, rows),
         .path = path,
         .hint = "tokenizer_config.json or added_tokens.json belongs to another model"});
  }
  tokenizer.rows_ = rows;
  tokenizer.model_ = path;
}

std::string chat_template_digest(const std::string& folder) {
  std::string decides;
  for (const char* name :
       {"/chat_template.jinja", "/tokenizer_config.json", "/special_tokens_map.json"}) {
    if (path_exists(folder + name)) decides += sha256_of_file(folder + name);
  }
  return decides.empty() ? decides : sha256_of_text(decides);
}

Tokenizer open_tokenizer(const std::string& folder, int64_t rows, const DocumentOptions& options,
                         bool with_eos) {
  Tokenizer tokenizer = Tokenizer::open(folder);
  require_date(options.chat_date);
  tokenizer.conversations_->date = options.chat_date;
  if (options.parse_special_tokens) tokenizer.parse_special_tokens();
  require_vocabulary(tokenizer, rows, folder, with_eos);
  return tokenizer;
}

}  // namespace regroup
