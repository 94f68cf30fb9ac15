// Opcodes of pickles that are read or written; any other is refused. Private to lib/io.
#pragma once

#include <cstdint>

namespace dcl {

enum class Opcode : uint8_t {
  mark = 0x28,
  empty_tuple = 0x29,
  stop = 0x2E,
  bin_bytes = 0x42,
  short_bin_bytes = 0x43,
  bin_float = 0x47,
  bin_int = 0x4A,
  bin_int1 = 0x4B,
  bin_int2 = 0x4D,
  none = 0x4E,
  bin_persistent_id = 0x51,
  reduce = 0x52,
  bin_string = 0x54,
  short_bin_string = 0x55,
  bin_unicode = 0x58,
  empty_list = 0x5D,
  append = 0x61,
  build = 0x62,
  global = 0x63,
  appends = 0x65,
  bin_get = 0x68,
  inst = 0x69,  // known so that what it would run can be named
  long_bin_get = 0x6A,
  bin_put = 0x71,
  long_bin_put = 0x72,
  set_item = 0x73,
  tuple = 0x74,
  set_items = 0x75,
  empty_dict = 0x7D,
  proto = 0x80,
  new_object = 0x81,
  tuple1 = 0x85,
  tuple2 = 0x86,
  tuple3 = 0x87,
  new_true = 0x88,
  new_false = 0x89,
  long1 = 0x8A,
  short_bin_unicode = 0x8C,
  bin_unicode8 = 0x8D,
  empty_set = 0x8F,
  add_items = 0x90,
  frozen_set = 0x91,
  stack_global = 0x93,
  memoize = 0x94,
  frame = 0x95,
};

}  // namespace dcl
