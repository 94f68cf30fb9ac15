// Records of the ZIP format that reader and writer share. Private to lib/io.
#pragma once

#include <cstddef>
#include <cstdint>

#include "io/little_endian.h"

namespace dcl::zip {

inline constexpr uint32_t kLocalHeader = 0x04034b50, kDirectoryEntry = 0x02014b50, kEnd = 0x06054b50;
inline constexpr uint32_t kEnd64 = 0x06064b50, kEnd64Locator = 0x07064b50;
inline constexpr size_t kLocalHeaderBytes = 30, kDirectoryEntryBytes = 46, kEndBytes = 22;
inline constexpr size_t kEnd64Bytes = 56, kEnd64LocatorBytes = 20;
inline constexpr uint16_t kStored = 0, kDeflated = 8;
/// Bits of the general flags.
inline constexpr uint16_t kEncrypted = 1 << 0, kSizesFollow = 1 << 3, kPatched = 1 << 5, kStronglyEncrypted = 1 << 6,
                          kUtf8 = 1 << 11, kMasked = 1 << 13;
/// Extra fields: 64-bit sizes, PyTorch's padding ("FB").
inline constexpr uint16_t kExtra64 = 1, kExtraPadding = 0x4246;
/// What a 32-bit or 16-bit field holds when the value stands in the 64-bit record.
inline constexpr uint32_t kSaturated32 = 0xFFFFFFFF;
inline constexpr uint16_t kSaturated16 = 0xFFFF;

}  // namespace dcl::zip
