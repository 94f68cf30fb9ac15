// Pickles and PyTorch files built byte by byte, so that a test can break any one of them.
#pragma once

#include <string>
#include <vector>

#include "support/zip_bytes.h"

namespace dcl::test {

/// Pieces of a pickle of protocol 2; concatenate them.
namespace pickle {

inline const std::string kProto("\x80\x02", 2), kStop = ".", kMark = "(", kTuple = "t", kReduce = "R",
                                                kEmptyTuple = ")";
inline const std::string kEmptyDict = "}", kEmptyList = "]", kSetItem = "s", kSetItems = "u", kAppend = "a",
                         kAppends = "e", kNone = "N", kFalse("\x89"), kPersistentId = "Q", kBuild = "b";

inline std::string text(const std::string& value) { return "X" + fields(static_cast<uint32_t>(value.size())) + value; }
inline std::string old_text(const std::string& value) {
  return "U" + fields(static_cast<uint8_t>(value.size())) + value;
}
/// Any 64-bit integer.
inline std::string integer(int64_t value) { return "\x8a\x08" + fields(value); }
inline std::string global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}
inline std::string tuple(const std::vector<std::string>& items) {
  std::string out = kMark;
  for (const std::string& item : items) out += item;
  return out + kTuple;
}
inline std::string integers(const std::vector<int64_t>& values) {
  std::vector<std::string> items;
  for (const int64_t value : values) items.push_back(integer(value));
  return tuple(items);
}
inline std::string whole(const std::string& value) { return kProto + value + kStop; }
/// A dict of one entry.
inline std::string dict(const std::string& key, const std::string& value) {
  return kEmptyDict + text(key) + value + kSetItem;
}

}  // namespace pickle

/// One tensor as torch.save describes it; every part can be replaced.
struct PickledParts {
  std::string function = pickle::global("torch._utils", "_rebuild_tensor_v2");
  std::string type = pickle::global("torch", "FloatStorage");
  std::string key = "0";
  int64_t count = 6;
  std::string view;  ///< sixth entry of a persistent id; only legacy files have it
  int64_t offset = 0;
  std::vector<int64_t> shape = {2, 3}, strides = {3, 1};
  std::string metadata;  ///< last argument, which torch.save adds where a tensor has a pending sign

  std::string storage() const {
    using namespace pickle;
    return tuple({text("storage"), type, text(key), text("cpu"), integer(count), view}) + kPersistentId;
  }
  std::string tensor() const {
    using namespace pickle;
    return function +
           tuple({storage(), integer(offset), integers(shape), integers(strides), kFalse,
                  global("collections", "OrderedDict") + kEmptyTuple + kReduce, metadata}) +
           kReduce;
  }
};

/// Six floats: 0, 1, 2, 3, 4, 5.
inline std::string six_floats() {
  std::string out;
  for (int i = 0; i < 6; ++i) out += fields(static_cast<float>(i));
  return out;
}

/// A PyTorch file in ZIP format of one storage "0".
inline std::vector<ZipPart> torch_zip_parts(const std::string& data_pkl, const std::string& storage = six_floats()) {
  return {{"archive/data.pkl", data_pkl}, {"archive/data/0", storage}, {"archive/version", "3\n"}};
}
inline std::string torch_zip(const std::string& data_pkl, const std::string& storage = six_floats()) {
  return zip_bytes(torch_zip_parts(data_pkl, storage));
}

/// A legacy PyTorch file; every part can be replaced.
struct LegacyParts {
  std::string magic{"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e", 15};
  std::string protocol = pickle::whole(pickle::integer(1001));
  std::string system = pickle::whole(pickle::dict("little_endian", "\x88"));
  std::string object, keys = pickle::whole(pickle::kEmptyList + pickle::text("0") + pickle::kAppend);
  std::string data = fields(int64_t{6}) + six_floats();

  std::string bytes() const { return magic + protocol + system + object + keys + data; }
};

}  // namespace dcl::test
