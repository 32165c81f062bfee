#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "template_nodes.h"
#include "template_value.h"

namespace regroup::chat {

/// Values that a call is given.
struct Arguments {
  std::vector<Value> values;
  std::vector<std::pair<std::string, Value>> named;

  /// The argument at a place or of a name, or `otherwise`.
  Value get(size_t index, const std::string& name, Value otherwise = {}) const;
  /// The arguments from a place on.
  Arguments from(size_t index) const;
};

/// Where a run comes from, and when.
struct Places {
  std::string source;        ///< the template's file
  std::string conversation;  ///< file and line of the messages
  std::string date;          ///< what strftime_now() writes, YYYY-MM-DD; "": it is refused
};

/// One run of a template over its values. Nothing outside of them can be reached: no attribute of an object is looked up,
/// and steps, depth and what is made are bounded.
class TemplateRun {
 public:
  TemplateRun(Places places, Value::Members globals)
      : places_(std::move(places)), scopes_{std::move(globals)} {}

  /// The text that the nodes print.
  /// @throws UnsupportedError TPL_UNSUPPORTED; CheckpointError TPL_BUDGET, TPL_MESSAGES (raise_exception)
  std::string print(const Nodes& nodes);

  /// Counts the bytes of a text or list that was made. @throws CheckpointError TPL_BUDGET
  void charge(size_t bytes) const;
  [[noreturn]] void refuse(int line, const std::string& why) const;
  const Places& places() const { return places_; }

 private:
  enum class Flow : uint8_t { kOn, kBreak, kContinue };

  Flow run(const Nodes& nodes, std::string& out);
  Flow run(const Node& node, std::string& out);
  Flow run_for(const Node& node, std::string& out);
  void run_set(const Node& node);
  void append(std::string& out, const std::string& text) const;
  void assign(const std::vector<std::string>& names, const Value& value, int line);

  Value evaluate(const Expression& e);
  Value evaluate_call(const Expression& e);
  Value evaluate_binary(const Expression& e);
  Value call_macro(const MacroNode& macro, const Arguments& arguments, int line);
  Value look_up(const std::string& name) const;
  Arguments arguments_of(const Expression& e, size_t first);
  void step();

  const Places places_;
  std::vector<Value::Members> scopes_;
  int64_t steps_ = 0;
  mutable int64_t made_ = 0;
  int depth_ = 0;
};

// Parts of the language; each refuses what it does not have by name.

/// value | name(arguments)
Value filtered(const TemplateRun& run, const Expression& e, const Value& value,
               const Arguments& arguments);
/// value is name(arguments)
bool tested(const TemplateRun& run, const Expression& e, const Value& value,
            const Arguments& arguments);
/// value.name(arguments)
Value method(const TemplateRun& run, const Expression& e, const std::string& name,
             const Value& value, const Arguments& arguments);
/// upper, lower, capitalize, title of a text. Beyond ASCII it is refused.
std::string in_case(const TemplateRun& run, const Expression& e, const std::string& name,
                    std::string text);
/// name(arguments) of range, namespace, dict, raise_exception
Value function(const TemplateRun& run, const Expression& e, const std::string& name,
               const Arguments& arguments);
/// left name right, for operators of numbers, texts and lists
Value operated(const TemplateRun& run, const Expression& e, const Value& left, const Value& right);
/// value.name, value[index]
Value member(const TemplateRun& run, const Expression& e, const Value& value, const Json& index);
/// value[begin:end:step]
Value sliced(const TemplateRun& run, const Expression& e, const Value& value,
             const std::vector<Value>& bounds);
/// Refuses arguments of other names than these, which would change what is given.
void require_names(const TemplateRun& run, const Expression& e, const Arguments& arguments,
                   const std::vector<std::string_view>& known);
/// What a loop goes through.
std::vector<Value> elements(const TemplateRun& run, int line, const Value& value);
bool contains(const TemplateRun& run, const Expression& e, const Value& all, const Value& one);

}  // namespace regroup::chat
