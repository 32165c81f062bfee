#include "pickle.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "regroup/base/error.h"
#include "regroup/base/printable.h"

namespace regroup::pickle {
namespace {

constexpr int64_t kMaxOpcodes = 4'000'000;
constexpr const char* kSaveAgain =
    "load it with PyTorch where you trust it and save the model as safetensors";

using Kind = Value::Kind;

class Machine {
 public:
  Machine(std::string_view text, const std::vector<std::string_view>& allowed,
          const std::string& where)
      : text_(text), allowed_(allowed), where_(where) {}

  Values run() {
    for (int64_t n = 0;; ++n) {
      if (n == kMaxOpcodes) {
        refuse("PICKLE_LIMIT", fmt::format("must take at most {} opcodes", kMaxOpcodes));
      }
      const auto opcode = static_cast<unsigned char>(take(1)[0]);
      if (opcode == '.') break;
      step(opcode);
    }
    values_.root = pop();
    return std::move(values_);
  }

 private:
  [[noreturn]] void refuse(const char* code, const std::string& message) const {
    throw CheckpointError({.code = code,
                           .message = fmt::format("its pickle {}, at byte {}", message, at_),
                           .path = where_,
                           .hint = "the file is damaged; fetch it again"});
  }
  [[noreturn]] void refuse_structure(const std::string& message) const {
    refuse("PICKLE_STRUCT", message);
  }
  [[noreturn]] void refuse_opcode(unsigned opcode) const {
    throw UnsupportedError({.code = "PICKLE_OPCODE",
                            .message = fmt::format("its pickle asks for more than tensors in "
                                                   "dictionaries: opcode 0x{:02x} at byte {}",
                                                   opcode, at_),
                            .path = where_,
                            .hint = kSaveAgain});
  }

  std::string_view take(uint64_t count) {
    if (count > text_.size() - at_) refuse_structure("ends too soon");
    const std::string_view taken = text_.substr(at_, count);
    at_ += count;
    return taken;
  }
  uint64_t number(size_t bytes) {
    uint64_t value = 0;
    std::memcpy(&value, take(bytes).data(), bytes);  // little-endian, as the machine
    return value;
  }
  std::string_view line() {
    const size_t end = text_.find('\n', at_);
    if (end == std::string_view::npos) refuse_structure("ends inside a line");
    const std::string_view taken = take(end - at_);
    take(1);
    return taken;
  }
  /// LONG1: two's complement of up to 8 bytes.
  int64_t signed_number(size_t bytes) {
    if (bytes > 8) refuse_structure("holds a whole number of more than 64 bits");
    const uint64_t value = number(bytes);
    const int unused = 64 - 8 * static_cast<int>(bytes);
    return bytes == 0 ? 0 : static_cast<int64_t>(value << unused) >> unused;
  }

  void push(Value value) { stack_.push_back(value); }
  void push(Kind kind, int64_t integer = 0, std::string_view text = {}) {
    push({.kind = kind, .integer = integer, .text = text});
  }
  Value pop() {
    if (stack_.size() <= floor()) refuse_structure("takes a value where there is none");
    const Value value = stack_.back();
    stack_.pop_back();
    return value;
  }
  Value& top(Kind kind, const char* what) {
    if (stack_.size() <= floor() || stack_.back().kind != kind) {
      refuse_structure(fmt::format("must have {} there", what));
    }
    return stack_.back();
  }
  size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  /// What lies above the last mark.
  std::vector<Value> pop_marked() {
    if (marks_.empty()) refuse_structure("takes a mark where there is none");
    std::vector<Value> items(stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back()),
                             stack_.end());
    stack_.resize(marks_.back());
    marks_.pop_back();
    return items;
  }

  void push_sequence(Kind kind, std::vector<Value> items, std::string_view text = {}) {
    values_.sequences.push_back(std::move(items));
    push({.kind = kind, .text = text, .place = values_.sequences.size() - 1});
  }
  void add_items(const Value& container, const std::vector<Value>& items) {
    std::vector<Value>& all = values_.sequences[container.place];
    all.insert(all.end(), items.begin(), items.end());
  }
  void push_tuple_of(size_t count) {
    std::vector<Value> items(count);
    for (size_t i = count; i-- > 0;) items[i] = pop();
    push_sequence(Kind::kTuple, std::move(items));
  }
  void set_items(const std::vector<Value>& items) {
    if (items.size() % 2 != 0) refuse_structure("must set pairs of keys and values");
    add_items(top(Kind::kDictionary, "a dictionary"), items);
  }

  void push_global(std::string_view module, std::string_view name) {
    const std::string full = fmt::format("{}.{}", module, name);
    const auto known = std::find(allowed_.begin(), allowed_.end(), full);
    if (known == allowed_.end()) {
      throw UnsupportedError(
          {.code = "PICKLE_GLOBAL",
           .message = fmt::format("its pickle asks for {}, and may ask for tensors alone: nothing "
                                  "of it was run",
                                  printable(full, 100)),
           .path = where_,
           .hint = kSaveAgain});
    }
    push(Kind::kGlobal, 0, *known);
  }
  void call() {
    const Value arguments = pop();
    const Value function = pop();
    if (function.kind != Kind::kGlobal || arguments.kind != Kind::kTuple) {
      refuse_structure("calls what is no function");
    }
    if (function.text == "collections.OrderedDict" && values_.items(arguments).empty()) {
      push_sequence(Kind::kDictionary, {});
      return;
    }
    push({.kind = Kind::kCall, .text = function.text, .place = arguments.place});
  }
  /// The state of a dictionary: attributes that nobody asks for, such as state_dict()'s _metadata. That of a tensor would be other
  /// weights.
  void build() {
    pop();
    if (stack_.size() <= floor()) refuse_structure("takes a value where there is none");
    if (stack_.back().kind != Kind::kDictionary) refuse_opcode('b');
  }

  void remember(uint64_t index) {
    if (stack_.size() <= floor()) refuse_structure("keeps a value where there is none");
    memo_[index] = stack_.back();
  }
  void recall(uint64_t index) {
    const auto found = memo_.find(index);
    if (found == memo_.end()) refuse_structure("calls for a value that it did not keep");
    push(found->second);
  }

  void step(unsigned opcode) {
    if (!step_value(opcode) && !step_container(opcode) && !step_memo(opcode)) refuse_opcode(opcode);
  }

  bool step_value(unsigned opcode) {
    switch (opcode) {
      case 'N':
        push(Kind::kNone);
        return true;
      case 0x88:
      case 0x89:
        push(Kind::kBoolean, opcode == 0x88);
        return true;
      case 'K':
        push(Kind::kInteger, static_cast<int64_t>(number(1)));
        return true;
      case 'M':
        push(Kind::kInteger, static_cast<int64_t>(number(2)));
        return true;
      case 'J':
        push(Kind::kInteger, signed_number(4));
        return true;
      case 0x8A:  // LONG1
        push(Kind::kInteger, signed_number(number(1)));
        return true;
      case 'G':
        take(8);
        push(Kind::kNumber);
        return true;
      case 'X':
        push(Kind::kText, 0, take(number(4)));
        return true;
      case 0x8C:  // SHORT_BINUNICODE
        push(Kind::kText, 0, take(number(1)));
        return true;
      case 'c': {
        const std::string_view module = line();
        push_global(module, line());
        return true;
      }
      case 0x93: {  // STACK_GLOBAL
        const Value name = pop();
        const Value module = pop();
        if (name.kind != Kind::kText || module.kind != Kind::kText) {
          refuse_structure("names a global by what is no text");
        }
        push_global(module.text, name.text);
        return true;
      }
      default:
        return false;
    }
  }

  bool step_container(unsigned opcode) {
    switch (opcode) {
      case '(':
        marks_.push_back(stack_.size());
        return true;
      case ')':
        push_sequence(Kind::kTuple, {});
        return true;
      case ']':
        push_sequence(Kind::kList, {});
        return true;
      case '}':
        push_sequence(Kind::kDictionary, {});
        return true;
      case 't':
        push_sequence(Kind::kTuple, pop_marked());
        return true;
      case 0x85:
      case 0x86:
      case 0x87:  // TUPLE1 to TUPLE3
        push_tuple_of(opcode - 0x84);
        return true;
      case 'a': {
        const Value item = pop();
        add_items(top(Kind::kList, "a list"), {item});
        return true;
      }
      case 'e': {
        const std::vector<Value> items = pop_marked();
        add_items(top(Kind::kList, "a list"), items);
        return true;
      }
      case 's': {
        const Value value = pop();
        const Value key = pop();
        set_items({key, value});
        return true;
      }
      case 'u':
        set_items(pop_marked());
        return true;
      case 'R':
        call();
        return true;
      case 'b':
        build();
        return true;
      case 'Q': {
        const Value key = pop();
        push_sequence(Kind::kPersistent, {key});
        return true;
      }
      default:
        return false;
    }
  }

  bool step_memo(unsigned opcode) {
    switch (opcode) {
      case 0x80:  // PROTO
        if (const uint64_t protocol = number(1); protocol < 2 || protocol > 5) {
          refuse_structure(fmt::format("must be of protocol 2 to 5, found {}", protocol));
        }
        return true;
      case 0x95:  // FRAME
        take(8);
        return true;
      case 'q':
        remember(number(1));
        return true;
      case 'r':
        remember(number(4));
        return true;
      case 0x94:  // MEMOIZE
        remember(memo_.size());
        return true;
      case 'h':
        recall(number(1));
        return true;
      case 'j':
        recall(number(4));
        return true;
      default:
        return false;
    }
  }

  const std::string_view text_;
  const std::vector<std::string_view>& allowed_;
  const std::string& where_;
  size_t at_ = 0;
  Values values_;
  std::vector<Value> stack_;
  std::vector<size_t> marks_;
  std::unordered_map<uint64_t, Value> memo_;
};

}  // namespace

Values read(std::string_view text, const std::vector<std::string_view>& allowed,
            const std::string& where) {
  return Machine(text, allowed, where).run();
}

}  // namespace regroup::pickle
