#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "regroup/base/strict_json.h"

namespace regroup::chat {

// What a chat template consists of. A template is parsed once and run for each conversation.

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;

struct Expression {
  enum class Kind : uint8_t {
    kLiteral,    ///< literal
    kName,       ///< name
    kList,       ///< arguments
    kDict,       ///< arguments: key, value, key, value
    kAttribute,  ///< arguments[0].name
    kIndex,      ///< arguments[0][arguments[1]]
    kSlice,  ///< arguments[0][arguments[1] : arguments[2] : arguments[3]], each of which may be null
    kCall,   ///< arguments[0](the others, named)
    kFilter,       ///< arguments[0] | name(the others, named)
    kTest,         ///< arguments[0] is name(the others)
    kNot,          ///< not arguments[0]
    kNegative,     ///< -arguments[0]
    kAnd,          ///< both arguments
    kOr,           ///< one of the arguments
    kBinary,       ///< name: + - * / // % ** ~ == != < <= > >= in
    kConditional,  ///< arguments[0] if arguments[1] else arguments[2], which may be null
  };
  Kind kind;
  int line = 0;
  int height = 1;  ///< of the tree: what runs over it calls itself so often
  std::string name = {};
  Json literal = {};
  std::vector<ExpressionPtr> arguments = {};
  std::vector<std::pair<std::string, ExpressionPtr>> named = {};
};

struct Node;
using Nodes = std::vector<std::unique_ptr<Node>>;

/// {% macro name(parameters) %}
struct MacroNode {
  std::string name;
  std::vector<std::pair<std::string, ExpressionPtr>>
      parameters;  ///< with defaults, which may be null
  Nodes body;
};

struct Node {
  enum class Kind : uint8_t {
    kText,    ///< text
    kOutput,  ///< {{ expression }}
    kIf,      ///< body if expression, else otherwise
    kFor,  ///< names in expression, those for which condition holds: body; otherwise when there are none
    kSet,  ///< names = expression, or names[0].text = expression; without expression: what the body prints
    kMacro,  ///< macro
    kBlock,  ///< body: {% generation %}
    kBreak,
    kContinue,
  };
  Kind kind;
  int line = 0;
  std::string text = {};
  std::vector<std::string> names = {};
  ExpressionPtr expression = {};
  ExpressionPtr condition = {};
  Nodes body = {};
  Nodes otherwise = {};
  MacroNode macro = {};
};

}  // namespace regroup::chat
