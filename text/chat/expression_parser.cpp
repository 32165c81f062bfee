#include "expression_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "regroup/base/printable.h"

namespace regroup::chat {
namespace {

using Kind = Expression::Kind;

constexpr int kMaxDepth = 200;
/// Tests that compare with a value, which may stand without brackets.
constexpr std::array<std::string_view, 12> kTakeOne = {
    "divisibleby", "eq", "equalto", "ge",       "gt", "greaterthan",
    "in",          "le", "lt",      "lessthan", "ne", "sameas"};

}  // namespace

Token TokenReader::take() {
  Token token = peek();
  if (at_ + 1 < tokens_.size()) ++at_;
  return token;
}

bool TokenReader::accept_operator(const char* text) {
  if (!is_operator(text)) return false;
  take();
  return true;
}

bool TokenReader::accept_name(const char* text) {
  if (!is_name(text)) return false;
  take();
  return true;
}

void TokenReader::expect(Token::Kind kind, const char* what) {
  if (!is(kind)) refuse(fmt::format("{} is missing before \"{}\"", what, printable(peek().text)));
  take();
}

void TokenReader::expect_operator(const char* text) {
  if (!accept_operator(text)) {
    refuse(fmt::format("\"{}\" is missing before \"{}\"", text, printable(peek().text)));
  }
}

std::string TokenReader::expect_name() {
  if (!is(Token::Kind::kName)) {
    refuse(fmt::format("a name is missing before \"{}\"", printable(peek().text)));
  }
  return take().text;
}

void TokenReader::refuse(const std::string& why) const { refuse_template(path_, peek().line, why); }

ExpressionPtr ExpressionParser::make(Kind kind, const std::string& name) const {
  auto expression = std::make_unique<Expression>();
  expression->kind = kind;
  expression->line = tokens_.peek().line;
  expression->name = name;
  return expression;
}

ExpressionPtr ExpressionParser::whole(ExpressionPtr expression) const {
  int highest = 0;
  for (const ExpressionPtr& one : expression->arguments) {
    if (one) highest = std::max(highest, one->height);
  }
  for (const auto& [name, one] : expression->named) highest = std::max(highest, one->height);
  expression->height = highest + 1;
  if (expression->height > kMaxDepth) tokens_.refuse("an expression is too long");
  return expression;
}

ExpressionPtr ExpressionParser::binary(const std::string& name, ExpressionPtr left,
                                       ExpressionPtr right) const {
  ExpressionPtr out = make(Kind::kBinary, name);
  out->arguments.push_back(std::move(left));
  out->arguments.push_back(std::move(right));
  return whole(std::move(out));
}

ExpressionPtr ExpressionParser::parse() {
  if (++depth_ > kMaxDepth) tokens_.refuse("expressions are nested too deep");
  ExpressionPtr value = parse_or();
  while (tokens_.accept_name("if")) {
    ExpressionPtr out = make(Kind::kConditional);
    out->arguments.push_back(std::move(value));
    out->arguments.push_back(parse_or());
    out->arguments.push_back(tokens_.accept_name("else") ? parse() : nullptr);
    value = whole(std::move(out));
  }
  --depth_;
  return value;
}

ExpressionPtr ExpressionParser::parse_tuple() {
  ExpressionPtr first = parse();
  if (!tokens_.is_operator(",")) return first;
  ExpressionPtr list = make(Kind::kList);
  list->arguments.push_back(std::move(first));
  while (tokens_.accept_operator(",")) list->arguments.push_back(parse());
  return whole(std::move(list));
}

ExpressionPtr ExpressionParser::parse_or() {
  ExpressionPtr left = parse_and();
  while (tokens_.accept_name("or")) {
    ExpressionPtr out = make(Kind::kOr);
    out->arguments.push_back(std::move(left));
    out->arguments.push_back(parse_and());
    left = whole(std::move(out));
  }
  return left;
}

ExpressionPtr ExpressionParser::parse_and() {
  ExpressionPtr left = parse_not();
  while (tokens_.accept_name("and")) {
    ExpressionPtr out = make(Kind::kAnd);
    out->arguments.push_back(std::move(left));
    out->arguments.push_back(parse_not());
    left = whole(std::move(out));
  }
  return left;
}

ExpressionPtr ExpressionParser::parse_not() {
  if (!tokens_.accept_name("not")) return parse_comparison();
  if (++depth_ > kMaxDepth) tokens_.refuse("expressions are nested too deep");
  ExpressionPtr out = make(Kind::kNot);
  out->arguments.push_back(parse_not());
  --depth_;
  return whole(std::move(out));
}

ExpressionPtr ExpressionParser::parse_comparison() {
  ExpressionPtr left = parse_sum();
  bool compared = false;
  while (true) {
    std::string name;
    bool negated = false;
    for (const char* known : {"==", "!=", "<=", ">=", "<", ">"}) {
      if (name.empty() && tokens_.accept_operator(known)) name = known;
    }
    if (name.empty() && tokens_.is_name("not") && tokens_.peek(1).text == "in") {
      tokens_.take();
      negated = true;
    }
    if (name.empty() && tokens_.accept_name("in")) name = "in";
    if (name.empty()) return left;
    if (compared) tokens_.refuse("comparisons in a chain (a < b < c) are not carried out");
    compared = true;
    left = binary(name, std::move(left), parse_sum());
    if (!negated) continue;
    ExpressionPtr out = make(Kind::kNot);
    out->arguments.push_back(std::move(left));
    left = whole(std::move(out));
  }
}

ExpressionPtr ExpressionParser::parse_sum() {
  ExpressionPtr left = parse_concatenation();
  while (true) {
    const char* name = tokens_.is_operator("+") ? "+" : tokens_.is_operator("-") ? "-" : nullptr;
    if (name == nullptr) return left;
    tokens_.take();
    left = binary(name, std::move(left), parse_concatenation());
  }
}

ExpressionPtr ExpressionParser::parse_concatenation() {
  ExpressionPtr left = parse_product();
  while (tokens_.accept_operator("~")) left = binary("~", std::move(left), parse_product());
  return left;
}

ExpressionPtr ExpressionParser::parse_product() {
  ExpressionPtr left = parse_power();
  while (true) {
    std::string name;
    for (const char* known : {"*", "//", "/", "%"}) {
      if (name.empty() && tokens_.accept_operator(known)) name = known;
    }
    if (name.empty()) return left;
    left = binary(name, std::move(left), parse_power());
  }
}

ExpressionPtr ExpressionParser::parse_power() {
  ExpressionPtr left = parse_unary(/*filtered=*/true);
  while (tokens_.accept_operator("**")) {
    left = binary("**", std::move(left), parse_unary(/*filtered=*/true));
  }
  return left;
}

ExpressionPtr ExpressionParser::parse_unary(bool filtered) {
  if (++depth_ > kMaxDepth) tokens_.refuse("expressions are nested too deep");
  ExpressionPtr out;
  if (tokens_.accept_operator("-")) {
    out = make(Kind::kNegative);
    out->arguments.push_back(parse_unary(/*filtered=*/false));
    out = whole(std::move(out));
  } else {
    tokens_.accept_operator("+");
    out = parse_postfix(parse_primary());
  }
  --depth_;
  return filtered ? parse_filters_and_tests(std::move(out)) : std::move(out);
}

ExpressionPtr ExpressionParser::parse_primary() {
  if (++depth_ > kMaxDepth) tokens_.refuse("expressions are nested too deep");
  ExpressionPtr out = make(Kind::kLiteral);
  const Token token = tokens_.take();
  switch (token.kind) {
    case Token::Kind::kString:
      out->literal = token.text;
      while (tokens_.is(Token::Kind::kString)) {  // "a" "b" is "ab"
        out->literal = out->literal.get<std::string>() + tokens_.take().text;
      }
      break;
    case Token::Kind::kInteger:
      if (token.text.size() > 18) tokens_.refuse("a number is too large");
      out->literal = std::stoll(token.text);
      break;
    case Token::Kind::kFloat:
      out->literal = std::stod(token.text);
      break;
    case Token::Kind::kName:
      if (token.text == "true" || token.text == "True") {
        out->literal = true;
      } else if (token.text == "false" || token.text == "False") {
        out->literal = false;
      } else if (token.text != "none" && token.text != "None") {
        out->kind = Kind::kName;
        out->name = token.text;
      }
      break;
    default:
      if (token.text == "(") {
        if (tokens_.accept_operator(")")) {
          out->kind = Kind::kList;
        } else {
          out = parse_tuple();
          tokens_.expect_operator(")");
        }
      } else if (token.text == "[") {
        out->kind = Kind::kList;
        while (!tokens_.accept_operator("]")) {
          out->arguments.push_back(parse());
          if (!tokens_.is_operator("]")) tokens_.expect_operator(",");
        }
      } else if (token.text == "{") {
        out->kind = Kind::kDict;
        while (!tokens_.accept_operator("}")) {
          out->arguments.push_back(parse());
          tokens_.expect_operator(":");
          out->arguments.push_back(parse());
          if (!tokens_.is_operator("}")) tokens_.expect_operator(",");
        }
      } else {
        tokens_.refuse(fmt::format("\"{}\" begins no expression", printable(token.text)));
      }
  }
  --depth_;
  return whole(std::move(out));
}

ExpressionPtr ExpressionParser::parse_postfix(ExpressionPtr of) {
  while (true) {
    if (tokens_.accept_operator(".")) {
      ExpressionPtr out = make(Kind::kAttribute);
      out->name = tokens_.is(Token::Kind::kInteger) ? tokens_.take().text : tokens_.expect_name();
      out->arguments.push_back(std::move(of));
      of = whole(std::move(out));
    } else if (tokens_.accept_operator("[")) {
      of = parse_subscript(std::move(of));
    } else if (tokens_.accept_operator("(")) {
      ExpressionPtr out = make(Kind::kCall);
      out->arguments.push_back(std::move(of));
      parse_arguments(*out);
      of = whole(std::move(out));
    } else {
      return of;
    }
  }
}

ExpressionPtr ExpressionParser::parse_filters_and_tests(ExpressionPtr of) {
  while (true) {
    if (tokens_.accept_operator("|")) {
      ExpressionPtr out = make(Kind::kFilter);
      out->name = tokens_.expect_name();
      out->arguments.push_back(std::move(of));
      if (tokens_.accept_operator("(")) parse_arguments(*out);
      of = whole(std::move(out));
    } else if (tokens_.accept_name("is")) {
      of = parse_test(std::move(of));
    } else if (tokens_.is_operator("(") || tokens_.is_operator(".") || tokens_.is_operator("[")) {
      of = parse_postfix(std::move(of));
    } else {
      return of;
    }
  }
}

ExpressionPtr ExpressionParser::parse_subscript(ExpressionPtr of) {
  ExpressionPtr parts[3];
  size_t colons = 0;
  while (!tokens_.accept_operator("]")) {
    if (tokens_.accept_operator(":")) {
      if (++colons > 2) tokens_.refuse("a slice has three parts at most");
    } else {
      parts[colons] = parse();
    }
  }
  ExpressionPtr out = make(colons > 0 ? Kind::kSlice : Kind::kIndex);
  out->arguments.push_back(std::move(of));
  if (colons == 0 && !parts[0]) tokens_.refuse("an index is missing");
  for (size_t i = 0; i < (colons > 0 ? 3 : 1); ++i) out->arguments.push_back(std::move(parts[i]));
  return whole(std::move(out));
}

void ExpressionParser::parse_arguments(Expression& call) {
  while (!tokens_.accept_operator(")")) {
    const bool named = tokens_.is(Token::Kind::kName) &&
                       tokens_.peek(1).kind == Token::Kind::kOperator &&
                       tokens_.peek(1).text == "=";
    if (named) {
      std::string name = tokens_.take().text;
      tokens_.take();
      call.named.emplace_back(std::move(name), parse());
    } else {
      call.arguments.push_back(parse());
    }
    if (!tokens_.is_operator(")")) tokens_.expect_operator(",");
  }
}

ExpressionPtr ExpressionParser::parse_test(ExpressionPtr of) {
  const bool negated = tokens_.accept_name("not");
  ExpressionPtr out = make(Kind::kTest);
  out->name = tokens_.expect_name();
  out->arguments.push_back(std::move(of));
  const bool takes_one = std::find(kTakeOne.begin(), kTakeOne.end(), out->name) != kTakeOne.end();
  if (tokens_.accept_operator("(")) {
    parse_arguments(*out);
  } else if (takes_one) {  // x is divisibleby 2
    out->arguments.push_back(parse_postfix(parse_primary()));
  }
  out = whole(std::move(out));
  if (!negated) return out;
  ExpressionPtr inverse = make(Kind::kNot);
  inverse->arguments.push_back(std::move(out));
  return whole(std::move(inverse));
}

}  // namespace regroup::chat
