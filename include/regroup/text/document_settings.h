#pragma once

#include "regroup/base/setting.h"
#include "regroup/text/documents.h"

namespace regroup {

/// How text files become documents.
template <typename Visit>
void visit_settings(DocumentOptions& options, Visit&& visit) {
  using Kind = Setting::Kind;
  visit({.name = "field",
         .help = "Key of a JSON record that holds the text; several (A,B) are joined",
         .kind = Kind::kKeys},
        options.field);
  visit({.name = "field-separator",
         .help = "Stands between the texts of several keys; left out: nothing",
         .kind = Kind::kSeparator},
        options.field_separator);
  visit({.name = "document-separator",
         .help = "Stands between the documents of a .txt file; \\n, \\r and \\t are one character",
         .kind = Kind::kSeparator},
        options.separator);
  visit({.name = "parse-special-tokens",
         .help =
             "Read the text of a special token, such as <|im_end|>, as the token and not as text; "
             "needs a tokenizer.json"},
        options.parse_special_tokens);
  visit({.name = "chat-date",
         .help =
             "Day that a chat template writes down where it asks for today's, as 2026-01-31; left "
             "out: such a template is refused",
         .kind = Kind::kPlain,
         .shows_default = false},
        options.chat_date);
}

}  // namespace regroup
