// What is of one of PyTorch's formats: the parts of an archive and of a legacy file, checksums, truncation.
#include "support/torch_bytes.h"

namespace dcl::test {
namespace {

// ---- The ZIP format -------------------------------------------------------------------------------------------------

TEST(TorchZip, RefusesWhatIsNoPyTorchArchive) {
  const std::string pickle = whole(dict("w", PickledParts().tensor()));
  const auto changed = [&](const std::function<void(std::vector<ZipPart>&)>& edit) {
    std::vector<ZipPart> parts = torch_zip_parts(pickle);
    edit(parts);
    return zip_bytes(parts);
  };
  refused(changed([](auto& p) { p.erase(p.begin()); }), "data.pkl is missing");
  refused(changed([](auto& p) { p[0] = {"data.pkl", p[0].content}; }), "is in no folder");
  refused(changed([](auto& p) { p.push_back({"other/x", ""}); }), "several folders");
  refused(changed([](auto& p) { p.push_back({"archive/constants.pkl", ""}); }), "TorchScript");
  refused(changed([](auto& p) { p.pop_back(); }), "'version' is missing");
  for (const char* version : {"0", "11", "x", "3x", "-1", "99999999999999999999"})
    refused(changed([&](auto& p) { p.back() = {"archive/version", version}; }), "format version");
  refused(changed([](auto& p) { p.push_back({"archive/byteorder", "big"}); }), "byte order");
  EXPECT_EQ(refusal(changed([](auto& p) { p.push_back({"archive/byteorder", "little"}); })), "");
  refused(changed([](auto& p) { p.erase(p.begin() + 1); }), "storage '0' is missing");
  refused(changed([](auto& p) { p[1] = {"archive/data/0", six_floats() + "x"}; }), "has 25 bytes, expected 24");
  refused(changed([&](auto& p) { p[0] = {"archive/data.pkl", pickle + "x"}; }), "its pickle ends at byte");
  refused(zip_with([](PickledParts& p) { p.count = INT64_MAX / 2; }), "too large");
}

TEST(TorchZip, ChecksChecksums) {
  const auto file = [](uint32_t flip, bool part, bool none) {
    PickledParts parts;
    if (part) parts.shape = {2}, parts.strides = {1};
    std::vector<ZipPart> zip = torch_zip_parts(whole(dict("w", parts.tensor())));
    zip[1].crc = none ? 0 : zip[1].crc ^ flip;
    return zip_bytes(zip);
  };
  for (const bool part : {false, true}) {
    EXPECT_EQ(refusal(file(0, part, false)), "");
    refused(file(1, part, false), "storage '0' does not match its checksum");
    EXPECT_EQ(refusal(file(0, part, true)), "");
    EXPECT_EQ(open_bytes(file(0, part, true))->notices().size(), 1u);
    std::vector<float> read(part ? 2 : 6);
    const auto damaged = open_bytes(file(1, part, false));
    EXPECT_THROW(damaged->read(damaged->at("w"), std::span(read)), Error);
  }
}

TEST(TorchZip, ReadsDeflatedEntries) {
  std::vector<ZipPart> zip = torch_zip_parts(whole(dict("w", PickledParts().tensor())));
  for (ZipPart& part : zip) part.deflate();
  EXPECT_EQ(values(zip_bytes(zip)), kSix);
  zip[1].crc ^= 1;
  refused(zip_bytes(zip), "damaged");
}

TEST(TorchZip, RefusesEveryTruncation) {
  const std::string whole_file = zip_with([](PickledParts&) {});
  for (size_t length = 0; length < whole_file.size(); ++length)
    EXPECT_NE(refusal(whole_file.substr(0, length)), "") << length;
}

// ---- The legacy format ----------------------------------------------------------------------------------------------

TEST(TorchLegacy, RefusesBrokenParts) {
  const auto with = [](const std::function<void(LegacyParts&)>& edit) {
    return legacy_with([&](PickledParts&, LegacyParts& file) { edit(file); });
  };
  refused(with([](LegacyParts& f) { f.magic[5] ^= 1; }), "bare Python pickle");
  refused(with([](LegacyParts& f) { f.protocol = whole(integer(1000)); }), "protocol is not 1001");
  refused(with([](LegacyParts& f) { f.system = whole(dict("little_endian", kFalse)); }), "big endian");
  refused(with([](LegacyParts& f) { f.system = whole(kEmptyDict); }), "does not say its byte order");
  refused(with([](LegacyParts& f) { f.system = whole(kEmptyList); }), "does not say its byte order");
  refused(with([](LegacyParts& f) { f.keys = whole(kEmptyList); }), "storage '0' is missing");
  refused(with([](LegacyParts& f) { f.keys = whole(kNone); }), "is no list");
  refused(with([](LegacyParts& f) { f.keys = whole(kEmptyList + text("1") + kAppend); }), "which no tensor uses");
  refused(with([](LegacyParts& f) {
            f.keys = whole(kEmptyList + kMark + text("0") + text("0") + kAppends);
            f.data += f.data;
          }),
          "'0' twice");
  refused(with([](LegacyParts& f) { f.data = fields(int64_t{5}) + six_floats(); }), "has 5 elements, expected 6");
  refused(with([](LegacyParts& f) { f.data = fields(int64_t{-6}) + six_floats(); }), "expected 6");
  refused(legacy_with([](PickledParts& p, LegacyParts& f) {
            p.count = INT64_MAX;
            f.data = fields(p.count);
          }),
          "too large");
  refused(with([](LegacyParts& f) { f.object = whole(global("os", "system") + tuple({text("true")}) + kReduce); }),
          "refusing to execute 'os.system'");
}

TEST(TorchLegacy, TheNumberMayBeAPickleOfALaterProtocol) {
  for (const char protocol : {'\2', '\3', '\4', '\5'}) {
    const bool framed = protocol >= 4;
    const auto with = [&](const std::string& frame) {
      return legacy_with([&](auto&, LegacyParts& f) {
        f.magic[1] = protocol;
        f.magic.insert(2, frame);
        f.keys[1] = protocol;
      });
    };
    const std::string frame("\x95\x0d\0\0\0\0\0\0\0", 9);  // around the 13 bytes after it
    EXPECT_EQ(values(with(framed ? frame : "")), kSix) << int{protocol};
    EXPECT_EQ(open_bytes(with(framed ? frame : ""))->format(), "PyTorch, legacy");
    for (size_t length = 0; length < 24; ++length) EXPECT_NE(refusal(with(frame).substr(0, length)), "") << length;
  }
  refused(legacy_with([](auto&, LegacyParts& f) { f.magic[1] = 6; }), "no known format");
}

TEST(TorchLegacy, NotesTrailingBytes) {
  const std::string bytes = legacy_with([](auto&, LegacyParts& f) { f.data += "tail"; });
  EXPECT_EQ(values(bytes), kSix);
  EXPECT_EQ(open_bytes(bytes)->notices(), std::vector<std::string>{"4 bytes after its last storage are ignored"});
}

TEST(TorchLegacy, RefusesEveryTruncation) {
  const std::string bytes = legacy_with([](auto&, auto&) {});
  for (size_t length = 0; length < bytes.size(); ++length) EXPECT_NE(refusal(bytes.substr(0, length)), "") << length;
  refused(bytes.substr(0, bytes.size() - 1), "truncated at storage '0'");
  refused(bytes.substr(0, bytes.size() - 25), "truncated at storage '0'");
}

}  // namespace
}  // namespace dcl::test
