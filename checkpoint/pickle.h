#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace regroup::pickle {

/// A value that a pickle makes. Texts point into the pickle; what holds other values is a place in Values.
struct Value {
  enum class Kind : uint8_t {
    kNone,
    kBoolean,
    kInteger,
    kNumber,  ///< a floating-point number, whose value nobody asks for
    kText,
    kTuple,
    kList,
    kDictionary,
    kGlobal,      ///< a name of Python, "module.name"
    kPersistent,  ///< what the pickle calls by a key: `place` is the key
    kCall,  ///< one of the allowed globals with its arguments: `text` is its name, `place` are the arguments
  };
  Kind kind = Kind::kNone;
  int64_t integer = 0;
  std::string_view text = {};
  size_t place = 0;
};

/// Everything that a pickle made. Containers are held here and not by each other: one may hold itself, and whoever walks down
/// must bound his steps.
struct Values {
  std::vector<std::vector<Value>>
      sequences;  ///< of tuples and lists; of a dictionary key, value, key, value ...
  Value root;

  const std::vector<Value>& items(const Value& value) const { return sequences[value.place]; }
};

/// Reads a pickle of protocol 2 to 5 as data. No object is made and no function called: a call becomes a value of its own if its
/// name is in `allowed`. Source: Lib/pickletools.py of CPython, which says what each opcode does to the stack.
/// @param text   outlives the values
/// @param where  names the pickle in errors
/// @throws CheckpointError  PICKLE_STRUCT (stack, marks, memo, end), PICKLE_LIMIT (4,000,000 opcodes)
/// @throws UnsupportedError PICKLE_GLOBAL, PICKLE_OPCODE
Values read(std::string_view text, const std::vector<std::string_view>& allowed,
            const std::string& where);

}  // namespace regroup::pickle
