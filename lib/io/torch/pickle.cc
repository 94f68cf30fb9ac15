#include "io/torch/pickle.h"

#include <bit>
#include <utility>

#include "core/error.h"
#include "core/file.h"
#include "core/number.h"
#include "io/torch/pickle_bytes.h"
#include "io/torch/pickle_calls.h"
#include "io/torch/pickle_opcodes.h"
#include "io/torch/pickle_stack.h"
#include "io/torch/scalar_text.h"
#include "io/utf8.h"

namespace dcl {
namespace {

constexpr size_t kMaxOpcodes = 1'000'000, kMaxStrings = 100'000;
constexpr size_t kMaxIntegerBytes = 32;  // NumPy's random generators keep numbers of 128 bits, which take 17 bytes

/// The stack machine of pickles.
class PickleMachine {
 public:
  PickleMachine(const ByteSource& source, uint64_t start, StorageIds ids)
      : bytes_(source, start), ids_(ids), stack_(bytes_, document_.values) {}

  PickleDocument run() {
    if (next() != Opcode::proto) bytes_.fail("it does not begin with a protocol");
    if (const auto protocol = bytes_.number<uint8_t>(); protocol < 2 || protocol > 5)
      bytes_.fail("its protocol is " + std::to_string(protocol) + ", expected 2 to 5");
    for (Opcode opcode = next(); opcode != Opcode::stop; opcode = next()) step(opcode);
    document_.root = stack_.pop();
    if (!stack_.empty()) bytes_.fail("it leaves values behind");
    document_.end = bytes_.position();
    return std::move(document_);
  }

 private:
  Opcode next() {
    if (++opcodes_ > kMaxOpcodes) bytes_.fail("it has more than " + std::to_string(kMaxOpcodes) + " opcodes");
    return static_cast<Opcode>(bytes_.number<uint8_t>());
  }

  void step(Opcode opcode) {
    if (!step_scalar(opcode) && !step_container(opcode) && !step_object(opcode)) refuse(opcode);
  }

  // ---- Values that hold no others -----------------------------------------------------------------------------------

  bool step_scalar(Opcode opcode) {
    switch (opcode) {
      case Opcode::none:
        return push(none_, {});
      case Opcode::new_true:
        return push(true_, {PickleKind::boolean, 1});
      case Opcode::new_false:
        return push(false_, {PickleKind::boolean, 0});
      case Opcode::bin_int:
        return push_integer(bytes_.number<int32_t>());
      case Opcode::bin_int1:
        return push_integer(bytes_.number<uint8_t>());
      case Opcode::bin_int2:
        return push_integer(bytes_.number<uint16_t>());
      case Opcode::long1:
        return push_long(bytes_.number<uint8_t>());
      case Opcode::bin_float:
        return push({PickleKind::real, 0, std::bit_cast<double>(__builtin_bswap64(bytes_.number<uint64_t>()))});
      case Opcode::bin_unicode:
        return push_text(bytes_.number<uint32_t>(), PickleKind::text);
      case Opcode::short_bin_unicode:
        return push_text(bytes_.number<uint8_t>(), PickleKind::text);
      case Opcode::bin_unicode8:
        return push_text(bytes_.number<uint64_t>(), PickleKind::text);
      case Opcode::bin_bytes:
        return push_text(bytes_.number<uint32_t>(), PickleKind::bytes);
      case Opcode::short_bin_bytes:
        return push_text(bytes_.number<uint8_t>(), PickleKind::bytes);
      case Opcode::short_bin_string:
        return push_old_text(bytes_.number<uint8_t>());
      case Opcode::bin_string:
        return push_old_text(bytes_.number<uint32_t>());
      default:
        return false;
    }
  }

  bool push(PickleValue value) {
    stack_.push(std::move(value));
    return true;
  }
  bool push(std::optional<PickleRef>& shared, PickleValue value) {
    stack_.push(shared, std::move(value));
    return true;
  }
  bool push_integer(int64_t value) { return push({PickleKind::integer, value}); }
  bool push_long(size_t length) {
    if (length > kMaxIntegerBytes)
      bytes_.fail("an integer has " + std::to_string(length) + " bytes, expected at most " +
                  std::to_string(kMaxIntegerBytes));
    return push(long_integer(bytes_.text(length)));
  }

  bool push_text(uint64_t length, PickleKind kind) {
    if (++strings_ > kMaxStrings) bytes_.fail("it has more than " + std::to_string(kMaxStrings) + " strings");
    PickleValue value{kind};
    value.text = bytes_.text(length);
    if (kind == PickleKind::text && !is_utf8(value.text)) bytes_.fail("a string is not valid UTF-8");
    return push(std::move(value));
  }
  /// A string of Python 2: text where it can be.
  bool push_old_text(uint64_t length) {
    push_text(length, PickleKind::bytes);
    PickleValue& value = stack_.top();
    if (is_utf8(value.text)) value.kind = PickleKind::text;
    return true;
  }

  // ---- Stack and containers -----------------------------------------------------------------------------------------

  bool push_items(PickleKind kind, std::vector<PickleRef> items) {
    PickleValue value{kind};
    value.items = std::move(items);
    return push(std::move(value));
  }
  /// Appends to the container on top, which must be of this kind.
  bool extend(PickleKind kind, const char* words, const std::vector<PickleRef>& items) {
    PickleValue& target = stack_.top();
    if (target.kind != kind) bytes_.fail(std::string("it adds to something that is no ") + words);
    if (kind == PickleKind::dict && items.size() % 2 != 0) bytes_.fail("it adds a key without a value to a dict");
    target.items.insert(target.items.end(), items.begin(), items.end());
    return true;
  }

  bool step_container(Opcode opcode) {
    switch (opcode) {
      case Opcode::mark:
        stack_.mark();
        return true;
      case Opcode::empty_tuple:
        return push(empty_tuple_, {PickleKind::tuple});
      case Opcode::tuple:
        return push_items(PickleKind::tuple, stack_.pop_to_mark());
      case Opcode::tuple1:
        return push_items(PickleKind::tuple, stack_.pop_many(1));
      case Opcode::tuple2:
        return push_items(PickleKind::tuple, stack_.pop_many(2));
      case Opcode::tuple3:
        return push_items(PickleKind::tuple, stack_.pop_many(3));
      case Opcode::empty_list:
        return push({PickleKind::list});
      case Opcode::empty_dict:
        return push({PickleKind::dict});
      case Opcode::empty_set:
        return push({PickleKind::set});
      case Opcode::frozen_set:
        return push_items(PickleKind::set, stack_.pop_to_mark());
      case Opcode::append:
        return extend(PickleKind::list, "list", stack_.pop_many(1));
      case Opcode::appends:
        return extend(PickleKind::list, "list", stack_.pop_to_mark());
      case Opcode::add_items:
        return extend(PickleKind::set, "set", stack_.pop_to_mark());
      case Opcode::set_item:
        return extend(PickleKind::dict, "dict", stack_.pop_many(2));
      case Opcode::set_items:
        return extend(PickleKind::dict, "dict", stack_.pop_to_mark());
      default:
        return false;
    }
  }

  // ---- The memo, names and calls ------------------------------------------------------------------------------------

  bool put(uint64_t index) {
    // A writer numbers its entries one by one.
    if (index >= opcodes_) bytes_.fail("it remembers a value under the number " + std::to_string(index));
    stack_.remember(static_cast<size_t>(index));
    return true;
  }
  bool get(uint64_t index) {
    stack_.recall(index);
    return true;
  }

  bool step_object(Opcode opcode) {
    switch (opcode) {
      case Opcode::frame:
        bytes_.number<uint64_t>();
        return true;
      case Opcode::bin_put:
        return put(bytes_.number<uint8_t>());
      case Opcode::long_bin_put:
        return put(bytes_.number<uint32_t>());
      case Opcode::memoize:
        return put(stack_.remembered());
      case Opcode::bin_get:
        return get(bytes_.number<uint8_t>());
      case Opcode::long_bin_get:
        return get(bytes_.number<uint32_t>());
      case Opcode::global: {
        const std::string module = bytes_.line();
        return push_global(module, bytes_.line());
      }
      case Opcode::stack_global: {
        const PickleRef name = stack_.pop(), module = stack_.pop();
        if (document_.at(name).kind != PickleKind::text || document_.at(module).kind != PickleKind::text)
          bytes_.fail("it names something by what is no text");
        return push_global(document_.at(module).text, document_.at(name).text);
      }
      case Opcode::reduce:
      case Opcode::new_object: {
        const PickleRef arguments = stack_.pop(), callee = stack_.pop();
        return push_result(callee, arguments);
      }
      case Opcode::build:
        return build();
      case Opcode::bin_persistent_id:
        if (ids_ == StorageIds::none) refuse(opcode);
        return push_storage(stack_.pop());
      default:
        return false;
    }
  }

  bool push_global(const std::string& module, const std::string& name) {
    const std::optional<Global> global = find_global(module, name);
    if (!global) refuse_name(module, name);
    if (global->symbol == Symbol::unsupported_tensor)
      bytes_.fail_unsupported("it holds a tensor that is " + std::string(global->kind));
    PickleValue value{PickleKind::global, static_cast<int64_t>(calls_.globals.size())};
    value.text = module + "." + name;
    calls_.globals.push_back(*global);
    return push(std::move(value));
  }

  bool push_result(PickleRef callee, PickleRef arguments) {
    return pushing([&] { return call_global(document_, calls_, callee, arguments); });
  }
  bool push_storage(PickleRef id) {
    return pushing([&] { return storage_of_id(document_, calls_, id, ids_); });
  }
  /// `make` returns a reference or throws Error whose message lacks the place.
  template <class Make>
  bool pushing(Make&& make) {
    try {
      stack_.push(make());
    } catch (const UnsupportedPickle& error) {
      bytes_.fail_unsupported(error.what());
    } catch (const Error& error) {
      bytes_.fail(error.what());
    }
    return true;
  }

  /// The state of an object: of a dict (a state_dict's version numbers) or a tensor, it is left out.
  bool build() {
    stack_.pop();
    if (const PickleKind kind = stack_.top().kind; kind != PickleKind::dict && kind != PickleKind::tensor)
      bytes_.fail("it sets the state of something that is neither dict nor tensor");
    return true;
  }

  [[noreturn]] void refuse_name(const std::string& module, const std::string& name) const {
    dcl::fail(ErrorKind::data,
              quoted(bytes_.name()) + ": refusing to execute " + quoted(module + "." + name) +
                  ": a file of tensors needs no such name. Only if you trust the file's origin: load it "
                  "in Python and save its state_dict alone, torch.save(model.state_dict(), PATH)");
  }
  [[noreturn]] void refuse(Opcode opcode) {
    if (opcode == Opcode::inst) {
      const std::string module = bytes_.line();
      refuse_name(module, bytes_.line());
    }
    const auto code = static_cast<uint8_t>(opcode);
    bytes_.fail(std::string("opcode 0x") + kHexDigits[code >> 4] + kHexDigits[code & 15] +
                " has no place in a file of tensors");
  }

  PickleBytes bytes_;
  StorageIds ids_;
  PickleDocument document_;
  PickleCalls calls_;
  PickleStack stack_;
  std::optional<PickleRef> none_, true_, false_, empty_tuple_;
  size_t opcodes_ = 0, strings_ = 0;
};

}  // namespace

PickleDocument read_pickle(const ByteSource& source, uint64_t start, StorageIds ids) {
  return PickleMachine(source, start, ids).run();
}

}  // namespace dcl
