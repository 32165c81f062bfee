#include "regex.h"

#include <fmt/format.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <new>

#include "regex_translation.h"
#include "regroup/base/error.h"
#include "regroup/base/printable.h"
#include "tokenizer_files.h"

namespace regroup {
namespace {

constexpr uint32_t kMaxSteps = 20'000'000;  // of one match: some tenths of a second
constexpr uint32_t kMaxHeapKib = 64 << 10;  // of the interpreter, where there is no JIT
constexpr size_t kMinStack = 32 << 10;
constexpr size_t kMaxStack = 64 << 20;

template <auto Free>
struct Deleter {
  template <typename T>
  void operator()(T* pointer) const {
    Free(pointer);
  }
};
template <typename T, auto Free>
using Owned = std::unique_ptr<T, Deleter<Free>>;

std::string pcre2_message(int error) {
  char text[256];
  pcre2_get_error_message(error, reinterpret_cast<PCRE2_UCHAR*>(text), sizeof text);
  return text;
}

/// What a thread needs for its matches, whichever the expression.
struct MatchSpace {
  Owned<pcre2_match_context, pcre2_match_context_free> context{pcre2_match_context_create(nullptr)};
  Owned<pcre2_jit_stack, pcre2_jit_stack_free> stack{
      pcre2_jit_stack_create(kMinStack, kMaxStack, nullptr)};
  Owned<pcre2_match_data, pcre2_match_data_free> match{pcre2_match_data_create(1, nullptr)};

  MatchSpace() {
    if (context == nullptr || stack == nullptr || match == nullptr) throw std::bad_alloc();
    pcre2_set_match_limit(context.get(), kMaxSteps);
    pcre2_set_heap_limit(context.get(), kMaxHeapKib);
    pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
  }
};

MatchSpace& match_space() {
  thread_local MatchSpace space;
  return space;
}

}  // namespace

struct Regex::State {
  std::string pattern;
  std::string path;
  Owned<pcre2_code, pcre2_code_free> code;
  bool jit = false;

  [[noreturn]] void refuse(const std::string& why) const;
};

void Regex::State::refuse(const std::string& why) const {
  throw UnsupportedError(
      {.code = "TOK_REGEX_UNSUPPORTED",
       .message = fmt::format("the regular expression {}: {}", why, printable(pattern)),
       .path = path,
       .hint = kTokenizeElsewhere});
}

Regex::Regex(std::string_view pattern, std::string path) : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.pattern = pattern;
  s.path = std::move(path);
  const std::string translated = translate_regex(s.pattern, s.path);
  const Owned<pcre2_compile_context, pcre2_compile_context_free> options(
      pcre2_compile_context_create(nullptr));
  pcre2_set_newline(options.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  size_t offset = 0;
  s.code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                             PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C,
                             &error, &offset, options.get()));
  if (s.code == nullptr) s.refuse("is not understood (" + pcre2_message(error) + ")");
  s.jit = pcre2_jit_compile(s.code.get(), PCRE2_JIT_COMPLETE) == 0;
}

Regex::Regex(Regex&&) noexcept = default;
Regex::~Regex() = default;

std::optional<ByteRange> Regex::find(std::string_view text, size_t from) const {
  const State& s = *state_;
  const MatchSpace& space = match_space();
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  const int found =
      s.jit ? pcre2_jit_match(s.code.get(), subject, text.size(), from, PCRE2_NO_UTF_CHECK,
                              space.match.get(), space.context.get())
            : pcre2_match(s.code.get(), subject, text.size(), from, PCRE2_NO_UTF_CHECK,
                          space.match.get(), space.context.get());
  if (found == PCRE2_ERROR_NOMATCH) return std::nullopt;
  if (found < 0) {
    throw CheckpointError(
        {.code = "LIMIT_REGEX",
         .message = fmt::format(
             "the regular expression {} must find each piece of a text within {} steps, "
             "found more at byte {} of \"{}\" ({})",
             printable(s.pattern), kMaxSteps, from, printable(text.substr(from), 40),
             pcre2_message(found)),
         .path = s.path,
         .hint = kTokenizeElsewhere});
  }
  const size_t* range = pcre2_get_ovector_pointer(space.match.get());
  return ByteRange{.begin = range[0], .end = range[1]};
}

}  // namespace regroup
