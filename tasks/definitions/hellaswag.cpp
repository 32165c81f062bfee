// HellaSwag (arXiv:1905.07830): how a description goes on.
#include <nlohmann/json.hpp>

#include "definitions/definitions.h"
#include "regroup/text/python_text.h"

namespace regroup {
namespace {

/// Marks of the WikiHow part: " [title]" ends a sentence, any other bracket goes.
std::string cleaned(const std::string& raw) {
  std::string text = python_replace(python_strip(raw), " [title]", ". ");
  for (size_t open = text.find('['); open != std::string::npos; open = text.find('[', open)) {
    const size_t close = text.find(']', open);
    const size_t line = text.find('\n', open);  // "." of the pattern is no line feed
    if (close == std::string::npos) break;
    if (line < close) {
      ++open;
      continue;
    }
    text.erase(open, close - open + 1);
  }
  return python_replace(text, "  ", " ");
}

TaskQuestion question(const TaskRecord& document) {
  TaskQuestion question{
      .contexts = {cleaned(document.text("activity_label") + ": " + document.text("ctx_a") + " " +
                           python_capitalize(document.text("ctx_b")))},
      .choices = {}};
  for (const std::string& ending : document.texts("endings")) {
    question.choices.push_back(cleaned(ending));
  }
  question.gold = {document.label("label", static_cast<int64_t>(question.choices.size()))};
  return question;
}

/// With what the question is made of.
Json kept(const Json& document, const TaskQuestion& question) {
  if (!document.contains("activity_label")) return document;  // a question written out
  Json kept = document;
  kept["query"] = question.contexts.front();
  kept["choices"] = question.choices;
  kept["gold"] = question.gold.front();
  return kept;
}

}  // namespace

const TaskDefinition tasks::hellaswag{.name = "hellaswag",
                                      .measures = tasks::kChoiceMeasures,
                                      .split = "validation",
                                      .draws_own_split = true,
                                      .question = question,
                                      .kept = kept};

}  // namespace regroup
