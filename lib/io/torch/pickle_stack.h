// The stack of the machine that reads pickles, and its memo. Private to lib/io.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "io/torch/pickle.h"
#include "io/torch/pickle_bytes.h"

namespace dcl {

/// References to values of a document. Invariant: the open marks are positions in the stack, ascending; what lies below
/// the last one is out of reach. Error{data}, by `bytes`, for what a valid pickle does not ask for.
class PickleStack {
 public:
  /// values: of the document, to which pushed ones are added. Both must outlive this.
  PickleStack(const PickleBytes& bytes, std::vector<PickleValue>& values) : bytes_(bytes), values_(values) {}

  bool empty() const { return stack_.empty() && marks_.empty(); }
  void push(PickleRef value) { stack_.push_back(value); }
  void push(PickleValue value);
  /// A value that is made once and shared.
  void push(std::optional<PickleRef>& shared, PickleValue value);
  PickleRef pop();
  PickleValue& top();
  /// The uppermost `count`, or all above the last mark, which goes: the lowest first.
  std::vector<PickleRef> pop_many(size_t count);
  std::vector<PickleRef> pop_to_mark();
  void mark() { marks_.push_back(stack_.size()); }

  /// The value on top, under a number that the caller has bounded; and a value by its number, onto the top.
  void remember(size_t index);
  void recall(uint64_t index);
  /// How often something was remembered.
  size_t remembered() const { return remembered_; }

 private:
  void require_value(const char* otherwise) const;

  const PickleBytes& bytes_;
  std::vector<PickleValue>& values_;
  std::vector<PickleRef> stack_;
  std::vector<size_t> marks_;
  std::vector<std::optional<PickleRef>> memo_;
  size_t remembered_ = 0;
};

}  // namespace dcl
