#include "template_run.h"

#include <fmt/format.h>

#include <algorithm>

#include "regroup/base/error.h"
#include "regroup/base/printable.h"
#include "template_lexer.h"

namespace regroup::chat {
namespace {

using Kind = Expression::Kind;

constexpr int64_t kMaxSteps = 500'000;
constexpr int64_t kMaxMade = int64_t{256} << 20;  // bytes
constexpr int kMaxDepth = 60;

}  // namespace

Arguments Arguments::from(size_t index) const {
  const auto begin = values.begin() + static_cast<long>(std::min(index, values.size()));
  return {{begin, values.end()}, named};
}

void require_names(const TemplateRun& run, const Expression& e, const Arguments& arguments,
                   const std::vector<std::string_view>& known) {
  for (const auto& [name, value] : arguments.named) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    run.refuse(e.line, fmt::format("\"{}\" does not know the argument \"{}\"", printable(e.name),
                                   printable(name)));
  }
}

Value Arguments::get(size_t index, const std::string& name, Value otherwise) const {
  if (index < values.size()) return values[index];
  for (const auto& [key, value] : named) {
    if (key == name) return value;
  }
  return otherwise;
}

void TemplateRun::refuse(int line, const std::string& why) const {
  refuse_template(places_.source, line,
                  fmt::format("{} (in the conversation of {})", why, places_.conversation));
}

void TemplateRun::step() {
  if (++steps_ <= kMaxSteps) return;
  throw CheckpointError(
      {.code = "TPL_BUDGET",
       .message = fmt::format("the chat template takes more than {} steps for one conversation",
                              kMaxSteps),
       .path = places_.conversation,
       .hint = "check the template; what transformers publishes takes some thousand"});
}

std::string TemplateRun::print(const Nodes& nodes) {
  std::string out;
  run(nodes, out);
  return out;
}

void TemplateRun::charge(size_t bytes) const {
  made_ += static_cast<int64_t>(bytes);
  if (made_ <= kMaxMade) return;
  throw CheckpointError({.code = "TPL_BUDGET",
                         .message = fmt::format("the chat template makes texts and lists of more "
                                                "than {} bytes for one conversation",
                                                kMaxMade),
                         .path = places_.conversation,
                         .hint = "check the template and the conversation"});
}

void TemplateRun::append(std::string& out, const std::string& text) const {
  charge(text.size());
  out += text;
}

TemplateRun::Flow TemplateRun::run(const Nodes& nodes, std::string& out) {
  if (++depth_ > kMaxDepth)
    refuse(nodes.empty() ? 0 : nodes.front()->line, "calls are nested too deep");
  Flow flow = Flow::kOn;
  for (const auto& node : nodes) {
    flow = run(*node, out);
    if (flow != Flow::kOn) break;
  }
  --depth_;
  return flow;
}

TemplateRun::Flow TemplateRun::run(const Node& node, std::string& out) {
  step();
  switch (node.kind) {
    case Node::Kind::kText:
      append(out, node.text);
      break;
    case Node::Kind::kOutput:
      append(out, printed(evaluate(*node.expression)));
      break;
    case Node::Kind::kIf:
      return run(evaluate(*node.expression).truth() ? node.body : node.otherwise, out);
    case Node::Kind::kFor:
      return run_for(node, out);
    case Node::Kind::kSet:
      run_set(node);
      break;
    case Node::Kind::kMacro:
      scopes_.back()[node.macro.name] = Value::macro(node.macro);
      break;
    case Node::Kind::kBlock:
      return run(node.body, out);
    case Node::Kind::kBreak:
      return Flow::kBreak;
    case Node::Kind::kContinue:
      return Flow::kContinue;
  }
  return Flow::kOn;
}

TemplateRun::Flow TemplateRun::run_for(const Node& node, std::string& out) {
  std::vector<Value> all = elements(*this, node.line, evaluate(*node.expression));
  if (node.condition) {
    std::vector<Value> kept;
    for (const Value& one : all) {
      step();
      scopes_.emplace_back();
      assign(node.names, one, node.line);
      if (evaluate(*node.condition).truth()) kept.push_back(one);
      scopes_.pop_back();
    }
    all = std::move(kept);
  }
  if (all.empty()) return run(node.otherwise, out);
  for (size_t i = 0; i < all.size(); ++i) {
    step();
    scopes_.emplace_back();
    Value loop = Value::make_namespace();
    *loop.members = {{"index", Json(i + 1)},
                     {"index0", Json(i)},
                     {"revindex", Json(all.size() - i)},
                     {"revindex0", Json(all.size() - i - 1)},
                     {"length", Json(all.size())},
                     {"first", Json(i == 0)},
                     {"last", Json(i + 1 == all.size())}};
    if (i > 0) (*loop.members)["previtem"] = all[i - 1];
    if (i + 1 < all.size()) (*loop.members)["nextitem"] = all[i + 1];
    scopes_.back()["loop"] = loop;
    assign(node.names, all[i], node.line);
    const Flow flow = run(node.body, out);
    scopes_.pop_back();
    if (flow == Flow::kBreak) break;
  }
  return Flow::kOn;
}

void TemplateRun::assign(const std::vector<std::string>& names, const Value& value, int line) {
  if (names.size() == 1) {
    scopes_.back()[names.front()] = value;
    return;
  }
  const std::vector<Value> parts = elements(*this, line, value);
  if (parts.size() != names.size()) refuse(line, "a list does not have as many elements as names");
  for (size_t i = 0; i < names.size(); ++i) scopes_.back()[names[i]] = parts[i];
}

void TemplateRun::run_set(const Node& node) {
  const Value value = node.expression ? evaluate(*node.expression) : Value(Json(print(node.body)));
  if (node.text.empty()) return assign(node.names, value, node.line);
  const Value target = look_up(node.names.front());
  if (target.kind != Value::Kind::kNamespace) {
    refuse(node.line, fmt::format("{} is no namespace", printable(node.names.front())));
  }
  (*target.members)[node.text] = value;
}

Value TemplateRun::look_up(const std::string& name) const {
  for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
    const auto found = scope->find(name);
    if (found != scope->end()) return found->second;
  }
  for (const char* known : {"range", "namespace", "dict", "raise_exception", "strftime_now"}) {
    if (name == known) return Value::function(name);
  }
  Value undefined;
  undefined.name = name;
  return undefined;
}

Arguments TemplateRun::arguments_of(const Expression& e, size_t first) {
  Arguments arguments;
  for (size_t i = first; i < e.arguments.size(); ++i) {
    arguments.values.push_back(evaluate(*e.arguments[i]));
  }
  for (const auto& [name, value] : e.named) arguments.named.emplace_back(name, evaluate(*value));
  return arguments;
}

Value TemplateRun::evaluate(const Expression& e) {
  step();
  const auto argument = [&](size_t i) { return evaluate(*e.arguments[i]); };
  switch (e.kind) {
    case Kind::kLiteral:
      return e.literal;
    case Kind::kName:
      return look_up(e.name);
    case Kind::kList: {
      Json list = Json::array();
      for (const ExpressionPtr& one : e.arguments) {
        const Value value = evaluate(*one);
        if (!value.is_data()) refuse(e.line, "a list holds what is no data");
        list.push_back(value.data());
      }
      return list;
    }
    case Kind::kDict: {
      Json dict = Json::object();
      for (size_t i = 0; i + 1 < e.arguments.size(); i += 2) {
        const Value key = argument(i);
        const Value value = argument(i + 1);
        if (!key.is_string() || !value.is_data()) refuse(e.line, "a dict holds what is no data");
        dict[key.text()] = value.data();
      }
      return dict;
    }
    case Kind::kAttribute:
      return member(*this, e, argument(0), e.name);
    case Kind::kIndex: {
      const Value of = argument(0);
      const Value index = argument(1);
      if (!index.is_data()) refuse(e.line, "an index is not defined");
      return member(*this, e, of, index.data());
    }
    case Kind::kSlice: {
      std::vector<Value> bounds;
      for (size_t i = 1; i < 4; ++i) bounds.push_back(e.arguments[i] ? argument(i) : Value(Json()));
      return sliced(*this, e, argument(0), bounds);
    }
    case Kind::kCall:
      return evaluate_call(e);
    case Kind::kFilter: {
      const Value of = argument(0);
      return filtered(*this, e, of, arguments_of(e, 1));
    }
    case Kind::kTest: {
      const Value of = argument(0);
      return Json(tested(*this, e, of, arguments_of(e, 1)));
    }
    case Kind::kNot:
      return Json(!argument(0).truth());
    case Kind::kNegative:
      return operated(*this, e, Json(0), argument(0));
    case Kind::kAnd: {
      Value left = argument(0);
      return left.truth() ? argument(1) : left;
    }
    case Kind::kOr: {
      Value left = argument(0);
      return left.truth() ? left : argument(1);
    }
    case Kind::kBinary:
      return evaluate_binary(e);
    case Kind::kConditional:
      if (argument(1).truth()) return argument(0);
      return e.arguments[2] ? argument(2) : Value();
  }
  return {};
}

Value TemplateRun::evaluate_binary(const Expression& e) {
  const Value left = evaluate(*e.arguments[0]);
  const Value right = evaluate(*e.arguments[1]);
  if (e.name == "in") return Json(contains(*this, e, right, left));
  return operated(*this, e, left, right);
}

Value TemplateRun::evaluate_call(const Expression& e) {
  const Expression& callee = *e.arguments.front();
  if (callee.kind == Kind::kAttribute) {
    const Value of = evaluate(*callee.arguments.front());
    return method(*this, callee, callee.name, of, arguments_of(e, 1));
  }
  const Value called = evaluate(callee);
  if (called.kind == Value::Kind::kMacro) {
    return call_macro(*called.node, arguments_of(e, 1), e.line);
  }
  if (called.kind != Value::Kind::kFunction) {
    refuse(e.line, fmt::format("\"{}\" is no function", printable(callee.name)));
  }
  return function(*this, e, called.name, arguments_of(e, 1));
}

Value TemplateRun::call_macro(const MacroNode& macro, const Arguments& arguments, int line) {
  if (arguments.values.size() > macro.parameters.size()) {
    refuse(line, fmt::format("{} is given too many arguments", printable(macro.name)));
  }
  for (const auto& [name, value] : arguments.named) {
    const bool known = std::any_of(macro.parameters.begin(), macro.parameters.end(),
                                   [&](const auto& one) { return one.first == name; });
    if (!known)
      refuse(line, fmt::format("{} does not know the argument \"{}\"", printable(macro.name),
                               printable(name)));
  }
  if (++depth_ > kMaxDepth) refuse(line, "calls are nested too deep");
  // A macro sees what is set at the top, not what surrounds its call.
  std::vector<Value::Members> outside(std::make_move_iterator(scopes_.begin() + 1),
                                      std::make_move_iterator(scopes_.end()));
  scopes_.resize(1);
  scopes_.emplace_back();
  for (size_t i = 0; i < macro.parameters.size(); ++i) {
    const auto& [name, otherwise] = macro.parameters[i];
    Value value = arguments.get(i, name);
    if (!value.defined() && otherwise) value = evaluate(*otherwise);
    scopes_.back()[name] = value;
  }
  std::string out = print(macro.body);
  scopes_.resize(1);
  scopes_.insert(scopes_.end(), std::make_move_iterator(outside.begin()),
                 std::make_move_iterator(outside.end()));
  --depth_;
  return Json(std::move(out));
}

}  // namespace regroup::chat
