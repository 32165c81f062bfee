#include "template_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <string_view>

#include "expression_parser.h"
#include "regroup/base/printable.h"

namespace regroup::chat {
namespace {

constexpr int kMaxDepth = 64;

class TemplateParser {
 public:
  TemplateParser(const std::string& source, const std::string& path)
      : tokens_(cut_template(source, path), path), expressions_(tokens_) {}

  Nodes run() {
    Nodes nodes = parse_until({});
    if (!tokens_.is(Token::Kind::kEnd)) {
      tokens_.refuse(fmt::format("\"{}\" ends nothing", printable(tokens_.peek(1).text)));
    }
    return nodes;
  }

 private:
  /// Nodes up to a block that one of `ends` begins, which stays: its {% is next.
  Nodes parse_until(std::initializer_list<std::string_view> ends) {
    if (++depth_ > kMaxDepth) tokens_.refuse("blocks are nested too deep");
    Nodes nodes;
    while (!tokens_.is(Token::Kind::kEnd)) {
      const bool block = tokens_.is(Token::Kind::kBlockBegin);
      if (block && std::find(ends.begin(), ends.end(), tokens_.peek(1).text) != ends.end()) break;
      if (block && tokens_.peek(1).text.starts_with("end")) break;
      nodes.push_back(parse_node());
    }
    --depth_;
    return nodes;
  }

  std::unique_ptr<Node> make(Node::Kind kind) {
    auto node = std::make_unique<Node>();
    node->kind = kind;
    node->line = tokens_.peek().line;
    return node;
  }

  std::unique_ptr<Node> parse_node() {
    if (tokens_.is(Token::Kind::kText)) {
      auto node = make(Node::Kind::kText);
      node->text = tokens_.take().text;
      return node;
    }
    if (tokens_.is(Token::Kind::kOutputBegin)) {
      tokens_.take();
      auto node = make(Node::Kind::kOutput);
      node->expression = expressions_.parse_tuple();
      tokens_.expect(Token::Kind::kOutputEnd, "}}");
      return node;
    }
    tokens_.expect(Token::Kind::kBlockBegin, "{%");
    const std::string word = tokens_.expect_name();
    if (word == "if") return parse_if();
    if (word == "for") return parse_for();
    if (word == "set") return parse_set();
    if (word == "macro") return parse_macro();
    if (word == "generation") {
      auto node = make(Node::Kind::kBlock);
      end_block();
      node->body = parse_until({"endgeneration"});
      expect_end("endgeneration");
      return node;
    }
    if (word == "break" || word == "continue") {
      if (loops_ == 0) tokens_.refuse(fmt::format("{} stands outside a loop", word));
      auto node = make(word == "break" ? Node::Kind::kBreak : Node::Kind::kContinue);
      end_block();
      return node;
    }
    tokens_.refuse(fmt::format("the block \"{}\" is not known", printable(word)));
  }

  void end_block() { tokens_.expect(Token::Kind::kBlockEnd, "%}"); }

  void expect_end(const char* word) {
    if (!tokens_.is(Token::Kind::kBlockBegin) || tokens_.peek(1).text != word) {
      tokens_.refuse(fmt::format("{} is missing", word));
    }
    tokens_.take();
    tokens_.take();
    end_block();
  }

  std::unique_ptr<Node> parse_if() {
    auto node = make(Node::Kind::kIf);
    node->expression = expressions_.parse();
    end_block();
    node->body = parse_until({"elif", "else"});
    if (tokens_.peek(1).text == "elif") {
      tokens_.take();
      tokens_.take();
      if (++depth_ > kMaxDepth) tokens_.refuse("blocks are nested too deep");
      node->otherwise.push_back(parse_if());
      --depth_;
      return node;  // the innermost has taken endif
    }
    parse_otherwise(*node);
    expect_end("endif");
    return node;
  }

  void parse_otherwise(Node& node) {
    if (!tokens_.is(Token::Kind::kBlockBegin) || tokens_.peek(1).text != "else") return;
    tokens_.take();
    tokens_.take();
    end_block();
    node.otherwise = parse_until({});
  }

  std::unique_ptr<Node> parse_for() {
    auto node = make(Node::Kind::kFor);
    do {
      node->names.push_back(tokens_.expect_name());
    } while (tokens_.accept_operator(","));
    if (!tokens_.accept_name("in")) tokens_.refuse("\"in\" is missing");
    node->expression = expressions_.parse_or();
    if (tokens_.accept_name("if")) node->condition = expressions_.parse();
    end_block();
    ++loops_;
    node->body = parse_until({"else"});
    --loops_;
    parse_otherwise(*node);
    expect_end("endfor");
    return node;
  }

  std::unique_ptr<Node> parse_set() {
    auto node = make(Node::Kind::kSet);
    node->names.push_back(tokens_.expect_name());
    if (tokens_.accept_operator(".")) {
      node->text = tokens_.expect_name();
    } else {
      while (tokens_.accept_operator(",")) node->names.push_back(tokens_.expect_name());
    }
    if (tokens_.accept_operator("=")) {
      node->expression = expressions_.parse_tuple();
      end_block();
      return node;
    }
    end_block();
    node->body = parse_until({"endset"});
    expect_end("endset");
    return node;
  }

  std::unique_ptr<Node> parse_macro() {
    auto node = make(Node::Kind::kMacro);
    node->macro.name = tokens_.expect_name();
    tokens_.expect_operator("(");
    while (!tokens_.accept_operator(")")) {
      std::string name = tokens_.expect_name();
      ExpressionPtr otherwise;
      if (tokens_.accept_operator("=")) otherwise = expressions_.parse();
      node->macro.parameters.emplace_back(std::move(name), std::move(otherwise));
      if (!tokens_.is_operator(")")) tokens_.expect_operator(",");
    }
    end_block();
    const int loops = std::exchange(loops_, 0);
    node->macro.body = parse_until({"endmacro"});
    loops_ = loops;
    expect_end("endmacro");
    return node;
  }

  TokenReader tokens_;
  ExpressionParser expressions_;
  int depth_ = 0;
  int loops_ = 0;
};

}  // namespace

Nodes parse_template(const std::string& source, const std::string& path) {
  return TemplateParser(source, path).run();
}

}  // namespace regroup::chat
