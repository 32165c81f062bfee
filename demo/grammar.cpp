#include "demo/grammar.h"

#include "demo/narration.h"
#include "demo/questions.h"
#include "regroup/base/split_mix.h"

namespace regroup::demo {
namespace {

// In bytes, 2.3 to a token of the demo's tokenizer: most documents have 120 to 220 tokens.
constexpr size_t kShortest = 260;
constexpr size_t kLongest = 450;
constexpr int kFewestEvents = 2;
constexpr int kFewestQuestions = 3;

uint64_t document_seed(uint64_t seed, Split split, uint64_t index) {
  return split_mix(split_mix(split_mix(seed) + (split == Split::kTrain ? 1 : 2)) + index);
}

void append(std::string& text, const std::string& sentence) {
  if (!text.empty()) text += ' ';
  text += sentence;
}

}  // namespace

std::string make_document(uint64_t seed) {
  Random random(seed);
  World world(random);
  const size_t length = random.between(kShortest, kLongest);
  std::string text;
  for (const std::string& sentence : tell_beginning(world, random)) append(text, sentence);
  for (int events = 0; events < kFewestEvents || text.size() < length / 2; ++events) {
    append(text, tell_event(world, random));
  }
  int asked = 0;
  for (const std::string& question : questions_and_answers(world, random)) {
    if (asked >= kFewestQuestions && text.size() >= length) break;
    append(text, question);
    ++asked;
  }
  return text;
}

std::string make_corpus(uint64_t seed, Split split, int64_t bytes,
                        std::unordered_set<std::string>& seen) {
  std::string corpus;
  for (uint64_t i = 0;; ++i) {
    std::string document = make_document(document_seed(seed, split, i));
    const size_t size = corpus.size() + document.size() + kSeparator.size();
    if (size > static_cast<size_t>(bytes)) return corpus;
    const auto [place, is_new] = seen.insert(std::move(document));
    if (is_new) corpus.append(*place).append(kSeparator);
  }
}

}  // namespace regroup::demo
