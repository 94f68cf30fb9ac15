#include "io/torch/pickle_stack.h"

#include <string>
#include <utility>

namespace dcl {

void PickleStack::require_value(const char* otherwise) const {
  if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) bytes_.fail(otherwise);
}

void PickleStack::push(PickleValue value) {
  values_.push_back(std::move(value));
  stack_.push_back(static_cast<PickleRef>(values_.size() - 1));
}

void PickleStack::push(std::optional<PickleRef>& shared, PickleValue value) {
  if (shared) return push(*shared);
  push(std::move(value));
  shared = stack_.back();
}

PickleRef PickleStack::pop() {
  require_value("it takes a value from an empty stack");
  const PickleRef top = stack_.back();
  stack_.pop_back();
  return top;
}

PickleValue& PickleStack::top() {
  require_value("it uses a value of an empty stack");
  return values_[stack_.back()];
}

std::vector<PickleRef> PickleStack::pop_many(size_t count) {
  std::vector<PickleRef> out(count);
  while (count-- > 0) out[count] = pop();
  return out;
}

std::vector<PickleRef> PickleStack::pop_to_mark() {
  if (marks_.empty()) bytes_.fail("it has no mark to go back to");
  const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
  std::vector<PickleRef> out(begin, stack_.end());
  stack_.erase(begin, stack_.end());
  marks_.pop_back();
  return out;
}

void PickleStack::remember(size_t index) {
  top();
  if (index >= memo_.size()) memo_.resize(index + 1);
  memo_[index] = stack_.back();
  ++remembered_;
}

void PickleStack::recall(uint64_t index) {
  if (index >= memo_.size() || !memo_[static_cast<size_t>(index)])
    bytes_.fail("it recalls the value " + std::to_string(index) + ", which was not remembered");
  push(*memo_[static_cast<size_t>(index)]);
}

}  // namespace dcl
