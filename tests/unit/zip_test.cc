// ZIP archives: what PyTorch, NumPy and Python's zipfile write is read, and everything in which two readers could see
// different archives is refused.
#include "io/zip.h"

#include <gtest/gtest.h>

#include <cstring>

#include "core/error.h"
#include "support/process.h"
#include "support/zip_bytes.h"

namespace dcl {
namespace {

using test::fields;
using test::zip_bytes;
using test::ZipEnd;
using test::ZipPart;

std::shared_ptr<const ByteSource> source_of(const std::string& bytes) {
  const auto* first = reinterpret_cast<const std::byte*>(bytes.data());
  return memory_bytes("x.zip", {first, first + bytes.size()});
}

std::string text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string content(const ZipArchive& archive, const std::string& name) {
  const ZipEntry* entry = archive.find(name);
  return entry ? text(archive.read(*entry, 1 << 20)) : "(none)";
}

/// The message with which an archive is refused; "" when it is accepted and every entry reads.
std::string refusal(const std::string& bytes) {
  try {
    const ZipArchive archive(source_of(bytes));
    for (const ZipEntry& entry : archive.entries()) archive.stream(entry, [](const void*, size_t) {});
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::data) << error.what();
    EXPECT_NE(std::string(error.what()).find("'x.zip'"), std::string::npos) << error.what();
    return error.what();
  }
}

void refused(const std::string& bytes, const std::string& words) {
  EXPECT_NE(refusal(bytes).find(words), std::string::npos)
      << "expected '" << words << "' in: '" << refusal(bytes) << "'";
}

ZipPart part(const std::function<void(ZipPart&)>& edit, const std::string& content = "content of a") {
  ZipPart out("n/a", content);
  edit(out);
  return out;
}

TEST(ZipReader, ReadsStoredAndDeflated) {
  const std::string text(5000, 'x');
  const ZipArchive archive(
      source_of(zip_bytes({{"n/a", "first"}, ZipPart("n/b", text).deflate(), {"n/c/", ""}, {"n/d", ""}})));
  ASSERT_EQ(archive.entries().size(), 3u);  // folders are left out
  EXPECT_EQ(content(archive, "n/a"), "first");
  EXPECT_EQ(content(archive, "n/b"), text);
  EXPECT_EQ(content(archive, "n/d"), "");
  EXPECT_EQ(archive.find("n/c"), nullptr);
  std::byte middle[3];
  archive.open(*archive.find("n/a"))->read(1, middle);
  EXPECT_EQ(::dcl::text(middle), "irs");
  archive.open(*archive.find("n/b"))->read(4997, middle);
  EXPECT_EQ(::dcl::text(middle), "xxx");
  EXPECT_THROW(archive.open(*archive.find("n/a"))->read(3, middle), Error);
  EXPECT_THROW(archive.read(*archive.find("n/b"), 4999), Error);
}

TEST(ZipReader, ReadsWhatWritersDo) {
  // Sizes after the data (bit 3), as PyTorch writes; its 64-bit end records; a comment; names of UTF-8.
  const auto later = part([](ZipPart& p) { p.flags = 8, p.local_crc = 0, p.local_size = 0; });
  EXPECT_EQ(refusal(zip_bytes({later})), "");
  EXPECT_EQ(refusal(zip_bytes({later}, [](ZipEnd& end) { end.wide = true; })), "");
  EXPECT_EQ(refusal(zip_bytes({later}, [](ZipEnd& end) { end.comment = "a comment PK"; })), "");
  EXPECT_EQ(refusal(zip_bytes({part([](ZipPart& p) { p.name = "n/\xc3\xa4"; })})), "");
  EXPECT_EQ(refusal(zip_bytes({})), "");
  // The end record's signature among the data.
  EXPECT_EQ(refusal(zip_bytes({{"n/a", "PK\x05\x06" + std::string(30, 'z')}})), "");
}

TEST(ZipReader, AcceptsAnAbsentChecksumOnly) {
  EXPECT_EQ(refusal(zip_bytes({part([](ZipPart& p) { p.crc = 0; })})), "");
  refused(zip_bytes({part([](ZipPart& p) { p.crc ^= 1; })}), "'n/a' is damaged");
  refused(zip_bytes({ZipPart("n/a", "abc").deflate(), part([](ZipPart& p) { p.name = "n/b", p.deflate().crc ^= 1; })}),
          "'n/b' is damaged");
}

TEST(ZipReader, RefusesUnclearEnds) {
  const std::string good = zip_bytes({{"n/a", "abc"}});
  refused("", "end record is missing");
  refused("PK\x03\x04", "end record is missing");
  refused(good + "x", "end record");
  refused("x" + good, "directory does not stand");
  refused(good + good, "two end records");
  refused(good + good.substr(good.size() - 22), "two end records");
  refused(zip_bytes({{"n/a", "abc"}}, [&](ZipEnd& end) { end.comment = good.substr(good.size() - 22); }),
          "two end records");
  refused(zip_bytes({{"n/a", "abc"}}, {}, "prefix"), "before its first entry");
  refused(zip_bytes({{"n/a", "abc"}}, [](ZipEnd& end) { end.disk = 1; }), "several disks");
  refused(zip_bytes({{"n/a", "abc"}}, [](ZipEnd& end) { end.directory += 1; }), "directory does not stand");
  refused(zip_bytes({{"n/a", "abc"}}, [](ZipEnd& end) { end.directory_size = 1u << 30; }), "directory does not stand");
  refused(zip_bytes({{"n/a", "abc"}}, [](ZipEnd& end) { end.count = 2; }), "cut or damaged at entry 1");
  refused(zip_bytes({{"n/a", "abc"}}, [](ZipEnd& end) { end.count = 0; }), "bytes after the last entry");
}

TEST(ZipReader, RefusesLiesIn64BitRecords) {
  const auto wide = [](const std::function<void(ZipEnd&)>& edit) {
    return zip_bytes({{"n/a", "abc"}}, [&](ZipEnd& end) {
      end.wide = true;
      edit(end);
    });
  };
  EXPECT_EQ(refusal(wide([](ZipEnd& end) { end.short_directory = static_cast<uint32_t>(end.directory); })), "");
  refused(wide([](ZipEnd& end) { end.short_directory = 7; }), "contradict");
  refused(wide([](ZipEnd& end) { end.directory = ~uint64_t{0} - 4; }), "directory does not stand");
  refused(wide([](ZipEnd& end) { end.directory_size = ~uint64_t{0}; }), "directory does not stand");
  refused(wide([](ZipEnd& end) { end.count = uint64_t{1} << 40; }), "100000 entries");
  std::string moved = wide([](ZipEnd&) {});
  moved[moved.size() - 22 - 12] ^= 1;  // the locator's offset
  refused(moved, "not where it should be");
}

TEST(ZipReader, RefusesBadNames) {
  for (const std::string name : {"", "/etc/passwd", "../x", "n/../../x", "n/..", "n\\x", "n/\n"})
    refused(zip_bytes({{name, "abc"}}), "name that is not allowed");
  refused(zip_bytes({{std::string("n/\0a", 4), "abc"}}), "name that is not allowed");
  refused(zip_bytes({{std::string(1025, 'n'), "abc"}}), "name that is not allowed");
  refused(zip_bytes({{"n/a", "abc"}, {"n/b", "abc"}, {"n/a", "xyz"}}), "'n/a' stands twice");
}

TEST(ZipReader, RefusesLocalHeadersThatContradict) {
  refused(zip_bytes({part([](ZipPart& p) { p.local_name = "n/b"; })}), "another name");
  refused(zip_bytes({part([](ZipPart& p) { p.local_name = "n/ab"; })}), "another name");
  refused(zip_bytes({part([](ZipPart& p) { p.local_method = 8; })}), "another compression");
  refused(zip_bytes({part([](ZipPart& p) { p.local_size = 3; })}), "other sizes");
  refused(zip_bytes({part([](ZipPart& p) { p.local_crc = 3; })}), "another checksum");
  refused(zip_bytes({part([](ZipPart& p) { p.flags = 8, p.local_crc = 3; })}), "another checksum");
  refused(zip_bytes({part([](ZipPart& p) { p.header_offset = 1; })}), "no local header");
  refused(zip_bytes({part([](ZipPart& p) { p.header_offset = 0xFFFFFFFE; })}), "outside of the archive");
  refused(zip_bytes({part([](ZipPart& p) { p.header_offset = 0xFFFFFFFF; })}), "lacks its 64-bit sizes");
}

TEST(ZipReader, RefusesOverlapsAndSizesBeyondTheFile) {
  // Two names for the same bytes: the second entry's header lies in the first one's data.
  const std::string inner = zip_bytes({{"n/b", "abc"}}, {}, "").substr(0, 30 + 3 + 3);
  refused(zip_bytes({{"n/a", inner}, part([](ZipPart& p) {
                       p = ZipPart("n/b", "abc");
                       p.header_offset = 33;
                     })}),
          "overlaps");
  const auto beyond = part([](ZipPart& p) {
    p.central_extra = fields(uint16_t{1}, uint16_t{8}, uint64_t{1} << 62);
    p.header_offset = 0xFFFFFFFF;
  });
  refused(zip_bytes({beyond}), "outside of the archive");
  refused(zip_bytes({part([](ZipPart& p) {
            p.flags = 8, p.local_crc = 0, p.local_size = 0;  // as sizes that follow the data
            p.central_extra = fields(uint16_t{1}, uint16_t{16}, uint64_t{100}, uint64_t{100});
            p.claimed = 0xFFFFFFFF;
          })}),
          "reaches beyond");
}

TEST(ZipReader, RefusesWhatItCannotRead) {
  for (const uint16_t flag : {1, 1 << 5, 1 << 6, 1 << 13})
    refused(zip_bytes({part([&](ZipPart& p) { p.flags = flag; })}), "encrypted");
  refused(zip_bytes({part([](ZipPart& p) { p.method = 12; })}), "compression method 12");
  refused(zip_bytes({part([](ZipPart& p) { p.disk = 1; })}), "another disk");
  refused(zip_bytes({part([](ZipPart& p) { p.size += 1; })}), "two sizes differ");
  refused(zip_bytes({part([](ZipPart& p) { p.central_extra = fields(uint16_t{7}, uint16_t{9}); })}), "extra field");
  const std::string wide = fields(uint16_t{1}, uint16_t{8}, uint64_t{0});
  refused(zip_bytes({part([&](ZipPart& p) { p.central_extra = wide + wide; })}), "two 64-bit extra fields");
}

TEST(ZipReader, RefusesBombs) {
  const std::string zeros(200'000, '\0');
  EXPECT_EQ(refusal(zip_bytes({ZipPart("n/a", zeros).deflate()})), "");
  refused(zip_bytes({part([](ZipPart& p) { p.deflate().size = uint64_t{1} << 30; })}), "further than deflate can");
  refused(zip_bytes({part([](ZipPart& p) { p.deflate().size -= 1; }, zeros)}), "cannot be inflated");
  refused(zip_bytes({part([](ZipPart& p) { p.deflate().size += 1; }, zeros)}), "cannot be inflated");
  refused(zip_bytes({part([](ZipPart& p) { p.deflate().content += "x"; })}), "cannot be inflated");
  refused(zip_bytes({part([](ZipPart& p) { p.deflate().content.pop_back(); })}), "cannot be inflated");
  // Many entries, each plausible: 300 times a megabyte of zeros in a file of 300 kB.
  std::vector<ZipPart> many;
  const ZipPart bomb = ZipPart("n", std::string(1 << 20, '\0')).deflate();
  for (int i = 0; i < 300; ++i) {
    many.push_back(bomb);
    many.back().name += std::to_string(i);
  }
  refused(zip_bytes(many), "too much for a file of");
}

/// Entries are read in pieces of a mebibyte: here the deflated data end where a piece does, before their announced end.
TEST(ZipReader, RefusesWhatFollowsDeflatedData) {
  constexpr int kBlocks = 16;
  constexpr uint16_t kBytes = 65531;  // with the five before it 1/16 of a piece
  const std::string zeros(kBytes, '\0');
  ZipPart entry("n/a", "");
  for (int i = 1; i <= kBlocks; ++i)
    entry.content += fields(static_cast<uint8_t>(i == kBlocks), kBytes, static_cast<uint16_t>(~kBytes)) + zeros;
  ASSERT_EQ(entry.content.size(), size_t{1} << 20);
  entry.method = 8, entry.size = uint64_t{kBlocks} * kBytes, entry.crc = 0;
  EXPECT_EQ(refusal(zip_bytes({entry})), "");
  entry.content += "x";
  refused(zip_bytes({entry}), "its sizes are wrong");
}

TEST(ZipReader, RefusesEveryTruncation) {
  const std::string whole =
      zip_bytes({{"n/a", "some bytes"}, ZipPart("n/b", "more").deflate()}, [](ZipEnd& end) { end.wide = true; });
  ASSERT_EQ(refusal(whole), "");
  for (size_t length = 0; length < whole.size(); ++length) EXPECT_NE(refusal(whole.substr(0, length)), "") << length;
}

TEST(ZipWriter, WritesAlignedEntriesThatReadBack) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "w.zip";
  ZipWriter writer(path);
  writer.add("n/version", "3\n");
  writer.begin("n/data/0", 3000);
  for (int i = 0; i < 3; ++i) writer.write(std::string(1000, static_cast<char>('a' + i)).data(), 1000);
  writer.add("n/empty", "");
  EXPECT_FALSE(std::filesystem::exists(path));
  writer.commit();

  const ZipArchive archive(file_bytes(path));
  ASSERT_EQ(archive.entries().size(), 3u);
  EXPECT_EQ(content(archive, "n/version"), "3\n");
  EXPECT_EQ(content(archive, "n/data/0"), std::string(1000, 'a') + std::string(1000, 'b') + std::string(1000, 'c'));
  EXPECT_EQ(content(archive, "n/empty"), "");
  for (const ZipEntry& entry : archive.entries()) {
    EXPECT_EQ(entry.offset % 64, 0u) << entry.name;
    EXPECT_EQ(entry.crc, test::crc_of(content(archive, entry.name)));
  }
}

TEST(ZipWriter, RefusesEntriesOfAnotherSize) {
  const test::TemporaryFolder folder;
  ZipWriter writer(folder / "w.zip");
  writer.begin("n/a", 3);
  EXPECT_THROW(writer.write("abcd", 4), Error);
  writer.write("ab", 2);
  EXPECT_THROW(writer.begin("n/b", 3), Error);
  EXPECT_THROW(writer.commit(), Error);
}

}  // namespace
}  // namespace dcl
