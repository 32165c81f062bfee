#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace regroup {

/// How a model writes a conversation down: the chat template of its folder, carried out as transformers' apply_chat_template
/// does without tools and documents. Today's date is none that a template may ask for, so that the
/// same conversation always gives the same text.
class ChatTemplate {
 public:
  /// Of chat_template.jinja, or of tokenizer_config.json.
  /// @throws CheckpointError TPL_MISSING, TPL_TYPE; UnsupportedError TPL_UNSUPPORTED
  /// @param date  YYYY-MM-DD, for templates that ask for today's date; "": they are refused
  static ChatTemplate open(const std::string& folder, const std::string& date);
  ChatTemplate(ChatTemplate&&) noexcept;
  ~ChatTemplate();

  /// The template itself.
  const std::string& source() const;
  /// The text of a conversation.
  /// @param messages  JSON: [{"role": "user", "content": "Hello"}, ...]
  /// @throws CheckpointError TPL_MESSAGES, TPL_BUDGET; UnsupportedError TPL_UNSUPPORTED
  /// @param where     file and line that they come from, for errors
  /// @param add_generation_prompt  behind it stands what begins an answer
  std::string render(std::string_view messages, const std::string& where,
                     bool add_generation_prompt = false) const;

 private:
  struct Parts;
  explicit ChatTemplate(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace regroup
