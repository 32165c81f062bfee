#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "template_lexer.h"
#include "template_nodes.h"

namespace regroup::chat {

/// The tokens of a template, read from front to back.
class TokenReader {
 public:
  TokenReader(std::vector<Token> tokens, const std::string& path)
      : tokens_(std::move(tokens)), path_(path) {}

  const Token& peek(size_t ahead = 0) const {
    return tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
  }
  Token take();
  bool is(Token::Kind kind) const { return peek().kind == kind; }
  bool is_operator(const char* text) const {
    return is(Token::Kind::kOperator) && peek().text == text;
  }
  bool is_name(const char* text) const { return is(Token::Kind::kName) && peek().text == text; }
  /// Takes the token if it is the one.
  bool accept_operator(const char* text);
  bool accept_name(const char* text);
  void expect(Token::Kind kind, const char* what);
  void expect_operator(const char* text);
  std::string expect_name();
  [[noreturn]] void refuse(const std::string& why) const;

 private:
  std::vector<Token> tokens_;
  const std::string& path_;
  size_t at_ = 0;
};

/// Expressions of a template, loosest first: a if b else c, or, and, not, comparisons, ~, + -, * / // %, **, -x, x.y x[y] x(y)
/// x|y, x is y.
class ExpressionParser {
 public:
  explicit ExpressionParser(TokenReader& tokens) : tokens_(tokens) {}
  ExpressionPtr parse();
  /// One or more with commas between, more than one as a list: a, b
  ExpressionPtr parse_tuple();
  /// Without a conditional: what stands behind `in` of a loop that may have an `if`.
  ExpressionPtr parse_or();

 private:
  ExpressionPtr parse_and();
  ExpressionPtr parse_not();
  ExpressionPtr parse_comparison();
  ExpressionPtr parse_concatenation();
  ExpressionPtr parse_sum();
  ExpressionPtr parse_product();
  ExpressionPtr parse_power();
  ExpressionPtr parse_unary(bool filtered);
  ExpressionPtr parse_primary();
  ExpressionPtr parse_postfix(ExpressionPtr of);
  ExpressionPtr parse_filters_and_tests(ExpressionPtr of);
  ExpressionPtr parse_subscript(ExpressionPtr of);
  void parse_arguments(Expression& call);
  ExpressionPtr parse_test(ExpressionPtr of);
  ExpressionPtr make(Expression::Kind kind, const std::string& name = "") const;
  /// Knows how high it is. @throws UnsupportedError TPL_UNSUPPORTED: too high to be run over
  ExpressionPtr whole(ExpressionPtr expression) const;
  ExpressionPtr binary(const std::string& name, ExpressionPtr left, ExpressionPtr right) const;

  TokenReader& tokens_;
  int depth_ = 0;
};

}  // namespace regroup::chat
